"""Whether the gateway lives, and whether a server behind it works."""

import time
from collections.abc import Callable

from asr_client import AsrError, AsyncClient
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_TIMEOUT_S = 2.0
_FRESH_S = 1.0  # probes that come more often get the same answer


class Health:
    """Answers probes.

    Args:
        client: of the default model.
        clock: the time, in seconds.
    """

    def __init__(self, client: AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._is_ready = False
        self._asked_at: float | None = None

    async def live(self, request: Request) -> Response:
        """Answer 200: this process answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """Answer 200 if the default model takes requests, otherwise 503."""
        if self._asked_at is None or self._clock() - self._asked_at > _FRESH_S:
            try:
                self._is_ready = await self._client.model_ready(timeout_s=_TIMEOUT_S)
            except AsrError:  # such as wrong credentials of the gateway
                self._is_ready = False
            self._asked_at = self._clock()
        if self._is_ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "the model does not take requests"}, status_code=503)

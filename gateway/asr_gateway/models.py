"""The models behind the gateway, under their names and aliases."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from asr_client import AsrError, AsyncClient, ModelInfo

from asr_gateway.errors import ApiError

ALIASES: Mapping[str, str] = {"whisper-1": ""}  # "": the default model
OWNER = "triton-asr-kit"
_LIST_TIMEOUT_S = 5.0
_FRESH_S = 10.0  # an older list is asked for again
# A list that is this old is asked for again because of a name that is not in it. So unknown names cannot flood Triton.
_FRESH_FOR_NEW_NAMES_S = 1.0


class Models:
    """Knows which models there are.

    Args:
        client: of the servers.
        default: the model of requests that name none.
        aliases: other names of models; "" stands for the default model. A model's own name goes first.
        clock: the time, in seconds.
    """

    def __init__(
        self,
        client: AsyncClient,
        default: str,
        aliases: Mapping[str, str] = ALIASES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.default = default
        self._client = client
        self._aliases = aliases
        self._clock = clock
        self._asking: asyncio.Future[None] | None = None  # the question that is under way, for all who wait for it
        self._known: dict[str, ModelInfo] = {}
        self._clients: dict[str, AsyncClient] = {}
        self._asked_at: float | None = None

    async def all(self, fresh_s: float = _FRESH_S) -> Mapping[str, ModelInfo]:
        """Return the models by name, as they were at most `fresh_s` seconds ago, or when a server last answered.

        Raises:
            AsrError: no server has ever answered.
        """
        if self._asked_at is None or self._clock() - self._asked_at > fresh_s:
            if self._asking is None:
                self._asking = asyncio.ensure_future(self._ask())
                self._asking.add_done_callback(self._has_asked)
            await asyncio.shield(self._asking)  # whoever began it may go
        return self._known

    async def named(self, name: str) -> ModelInfo:
        """Return the model with this name or alias.

        Raises:
            ApiError: there is none.
            AsrError: no server has ever answered.
        """
        name = name.strip()
        for fresh_s in (_FRESH_S, _FRESH_FOR_NEW_NAMES_S):
            known = await self.all(fresh_s)
            meant = name if name in known else self._aliases.get(name, name) or self.default
            if meant in known:
                return known[meant]
        raise ApiError(
            404,
            "model_not_found",
            f"The model {name[:80] or self.default!r} does not exist; there is {', '.join(sorted(known)) or 'none'}.",
            param="model",
        )

    def client(self, model: ModelInfo) -> AsyncClient:
        """Return the client of a model, always the same one: it remembers how long a recording the model takes."""
        if model.name not in self._clients:
            self._clients[model.name] = self._client.with_model(model.name)
        return self._clients[model.name]

    async def _ask(self) -> None:
        try:
            models = await self._client.models(timeout_s=_LIST_TIMEOUT_S)
        except AsrError:
            if self._asked_at is None:
                raise
            # The list from before has to do, and the request itself will say what is wrong.
        else:
            self._known = {model.name: model for model in models}
        self._asked_at = self._clock()

    def _has_asked(self, asking: "asyncio.Future[None]") -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()  # nobody may be there any more to hear of it


def described(model: ModelInfo) -> dict[str, Any]:
    """Return a model as OpenAI's API shows it."""
    return {"id": model.name, "object": "model", "created": 0, "owned_by": OWNER}

"""A caller of OpenAI's protocol in an event loop."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import quote, urlsplit

from asr_client import DeadlineExceeded, RequestInterrupted, ServerUnavailable, Transcription
from asr_client._transports.http import ssl_context

from asr_loadtest.openai import http1, messages
from asr_loadtest.openai.endpoint import Endpoint

_CONNECTING_S = 5.0
_SAFE = "/%:@!$&'()*+,;=~"  # of a path: what stays as it is


class OpenAICaller:
    """Sends recordings to a service, in the running event loop, without retries. Its connections are used again.

    Args:
        endpoint: the service.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._form = messages.Form(endpoint.model)
        parts = urlsplit(endpoint.origin)
        assert parts.hostname is not None
        assert parts.port is not None
        tls = ssl_context(endpoint.tls) if endpoint.is_encrypted else None
        self._pool = http1.Pool(parts.hostname, parts.port, tls, _CONNECTING_S)
        self._transcription = self._head("POST", "audio/transcriptions", {"content-type": self._form.content_type})

    async def __aenter__(self) -> "OpenAICaller":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.close()

    async def transcribe(self, audio: bytes) -> Transcription:
        """Return the transcript of a recording.

        Args:
            audio: an audio file.

        Raises:
            AsrError: the service refuses it, fails, or does not answer.
        """
        parts = self._form.parts(audio)
        return messages.transcription(*await self._ask(self._transcription, parts))

    async def check_model(self) -> str:
        """Make sure that the service has the model, and return who owns the model; "" if the service does not say.

        Raises:
            AsrError: it has no such model, refuses the key, or does not answer.
        """
        return messages.owner(*await self._ask(self._head("GET", f"models/{self._endpoint.model}")))

    def _head(self, method: str, path: str, headers: dict[str, str] | None = None) -> bytes:
        """Return the head of a request, without its length."""
        endpoint = self._endpoint
        fields = {"host": endpoint.address, "accept": "*/*", **endpoint.headers, **(headers or {})}
        lines = [f"{method} {quote(f'{endpoint.path}/{path}', safe=_SAFE)} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join(lines).encode()

    async def _ask(self, head: bytes, body: Sequence[bytes] = ()) -> http1.Answer:
        endpoint = self._endpoint
        length = b"\r\ncontent-length: %d\r\n\r\n" % sum(map(len, body))
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                return await self._pool.ask([head, length, *body])
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer from {endpoint.address} within {endpoint.timeout_s:g} s") from error
        except http1.Broken as error:
            raise RequestInterrupted(f"{endpoint.address} ended the connection: {error}") from error
        except OSError as error:
            raise ServerUnavailable(f"cannot talk to {endpoint.address}: {error or type(error).__name__}") from error

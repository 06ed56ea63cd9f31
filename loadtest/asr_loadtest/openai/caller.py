"""A caller of OpenAI's protocol, on aiohttp, which the client of Triton's HTTP has as well."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import TracebackType

import aiohttp
from asr_client import DeadlineExceeded, RequestInterrupted, ServerUnavailable, Transcription
from asr_client._transports.http import ssl_context

from asr_loadtest.openai import messages
from asr_loadtest.openai.endpoint import Endpoint

_CONNECTING_S = 5.0
# Many services close a connection that was idle for 5 s. A request that meets this would fail.
_IDLE_S = 4.0


class OpenAICaller:
    """Sends recordings to a service, in the running event loop, without retries. Its connections are used again.

    Args:
        endpoint: the service.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._form = messages.Form(endpoint.model)
        self._session = aiohttp.ClientSession(
            # The schedule bounds the requests under way; a limit here would make them wait unseen.
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_IDLE_S, ssl=ssl_context(endpoint.tls) if endpoint.is_encrypted else True
            ),
            # A cookie of a proxy would bind all callers to one server.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECTING_S),
            headers=endpoint.headers,
        )

    async def __aenter__(self) -> "OpenAICaller":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def transcribe(self, audio: bytes) -> Transcription:
        """Return the transcript of a recording.

        Args:
            audio: an audio file.

        Raises:
            AsrError: the service refuses it, fails, or does not answer.
        """
        parts = self._form.parts(audio)
        headers = {"content-type": self._form.content_type, "content-length": str(sum(map(len, parts)))}
        return messages.transcription(*await self._ask("POST", "audio/transcriptions", headers, _sent(parts)))

    async def check_model(self) -> str:
        """Make sure that the service has the model, and return who owns the model; "" if the service does not say.

        Raises:
            AsrError: it has no such model, refuses the key, or does not answer.
        """
        return messages.owner(*await self._ask("GET", f"models/{self._endpoint.model}"))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: AsyncIterator[bytes] | None = None
    ) -> tuple[int, bytes]:
        with _our_errors(self._endpoint):
            async with (
                asyncio.timeout(self._endpoint.timeout_s),
                self._session.request(method, f"{self._endpoint.api}/{path}", headers=headers, data=body) as answer,
            ):
                return answer.status, await answer.read()


async def _sent(parts: tuple[bytes, ...]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@contextmanager
def _our_errors(endpoint: Endpoint) -> Iterator[None]:
    """Raise the client's errors in place of aiohttp's and the system's."""
    try:
        yield
    except TimeoutError as error:
        if isinstance(error, aiohttp.ClientError):  # of connecting
            raise ServerUnavailable(f"cannot connect to {endpoint.address} within {_CONNECTING_S:g} s") from error
        raise DeadlineExceeded(f"no answer from {endpoint.address} within {endpoint.timeout_s:g} s") from error
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError) as error:
        raise RequestInterrupted(f"{endpoint.address} ended the connection: {error or type(error).__name__}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ServerUnavailable(f"cannot talk to {endpoint.address}: {error or type(error).__name__}") from error

"""The HTTP transports, both on tritonclient's asyncio client.

tritonclient's sync HTTP client is built on gevent: by its own documentation none of its methods is thread-safe, its
sockets belong to the thread that opened them, and its timeout starts again with every packet. So the sync transport
runs the asyncio client in one event loop on a thread of its own. Any number of threads share its connections, and
deadlines are kept.
"""

import asyncio
import concurrent.futures
import io
import ssl
import threading
import weakref
from typing import Any

import aiohttp
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio

from asr_client import _fork
from asr_client._calls.protocol import Answer, Operation
from asr_client._errors import ClientClosed
from asr_client._options import Tls
from asr_client._transports.base import AsyncStream, Endpoint, Stream, no_streams
from asr_client._transports.errors import our_errors
from asr_client._transports.triton import Calls, Dialect

_DIALECT = Dialect(triton_http, keeps_deadlines=False, metadata={})


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """Return how connections with these files are encrypted."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file and tls.key_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


class _HttpClient(triton_http_aio.InferenceServerClient):  # type: ignore[misc]
    """A client that bounds the time to connect, and gives aiohttp bodies as streams.

    aiohttp would write large bytes at once, and warn that this blocks the loop.
    """

    _stub: aiohttp.ClientSession

    def __init__(self, url: str, connecting_s: float, **options: Any) -> None:
        super().__init__(url, **options)
        self._stub.detach()  # from the connector, which is the new session's
        self._stub = aiohttp.ClientSession(
            connector=self._conn,
            timeout=aiohttp.ClientTimeout(total=None, connect=connecting_s),
            auto_decompress=False,
        )

    async def _post(self, request_uri: str, request_body: Any, headers: Any, query_params: Any) -> Any:
        body = io.BytesIO(request_body) if isinstance(request_body, bytes) else request_body
        return await super()._post(request_uri, body, headers, query_params)


class AsyncHttpTransport:
    """A pool of connections in the running event loop."""

    supports_streams = False

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._calls = Calls(_DIALECT, endpoint)
        with our_errors(endpoint):
            self._client = _HttpClient(
                endpoint.address,
                endpoint.connecting_s,
                ssl=endpoint.tls is not None,
                ssl_context=ssl_context(endpoint.tls) if endpoint.tls else True,
                conn_limit=0,  # the caller bounds concurrency; a limit here would make requests wait unseen
            )
        _fork.register(self)

    def after_fork(self) -> None:
        """Leave the connections to the parent."""
        _fork.keep_forever(self)

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Make one attempt."""
        with our_errors(self._endpoint, timeout_s):
            call = self._calls.call(operation, timeout_s)
            async with asyncio.timeout(timeout_s):  # Python 3.11's wait_for swallows cancellations
                result = await getattr(self._client, call.method)(**call.arguments)
            return self._calls.answer(operation, result)

    def open_stream(self, silence_s: float | None) -> AsyncStream:
        """Raise InvalidOption, because HTTP has no two-way streams."""
        raise no_streams("HTTP")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()


class HttpTransport:
    """A pool of connections for any number of threads."""

    supports_streams = False

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()  # so that no request is handed to a loop that is about to stop
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="asr-client-http", daemon=True)
        thread.start()
        try:
            self._transport = asyncio.run_coroutine_threadsafe(_open(endpoint), self._loop).result()
        except BaseException:
            _stop(self._loop, thread, None)
            raise
        # It also runs when the transport is garbage-collected, and at the interpreter's exit.
        self._shut_down = weakref.finalize(self, _stop, self._loop, thread, self._transport)
        _fork.register(self)

    def after_fork(self) -> None:
        """Leave the loop and its connections to the parent, because the loop's thread does not exist here."""
        self._shut_down.detach()
        _fork.keep_forever(self)

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Make one attempt."""
        with self._lock:
            if not self._shut_down.alive:
                raise ClientClosed(f"the connection to the {self._endpoint} is closed")
            future = asyncio.run_coroutine_threadsafe(self._transport.send(operation, timeout_s), self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise ClientClosed(f"the connection to the {self._endpoint} was closed during a request") from error
        except BaseException:  # KeyboardInterrupt: nobody waits for the answer any more
            future.cancel()
            raise

    def open_stream(self, silence_s: float | None) -> Stream:
        """Raise InvalidOption, because HTTP has no two-way streams."""
        raise no_streams("HTTP")

    def close(self) -> None:
        """Close all connections; requests under way are cancelled."""
        with self._lock:
            self._shut_down()


async def _open(endpoint: Endpoint) -> AsyncHttpTransport:
    return AsyncHttpTransport(endpoint)


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, transport: AsyncHttpTransport | None) -> None:
    if transport is not None:
        asyncio.run_coroutine_threadsafe(_close(transport), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _close(transport: AsyncHttpTransport) -> None:
    requests = asyncio.all_tasks() - {asyncio.current_task()}
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    await transport.aclose()

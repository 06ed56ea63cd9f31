"""The gRPC transports, on tritonclient's clients. Threads may share the sync one; the async one needs one loop."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ClassVar

import grpc
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio

from asr_client import _fork
from asr_client._address import proxy_arguments
from asr_client._calls.protocol import Answer, Operation
from asr_client._errors import ProcessForked
from asr_client._transports.base import Endpoint
from asr_client._transports.errors import our_errors
from asr_client._transports.grpc_client import GrpcClient
from asr_client._transports.grpc_streams import AsyncGrpcStream, GrpcStream
from asr_client._transports.triton import Calls, Dialect

_DIALECT = Dialect(triton_grpc, keeps_deadlines=True, metadata={"as_json": True})

_SHORTEST_BACKOFF_MS, _LONGEST_BACKOFF_MS = 100, 2_000  # between attempts to connect
_OFF = frozenset(("0", "false", "f", "no", "n"))  # values of gRPC's environment variables


def _client(client_class: Any, endpoint: Endpoint) -> Any:
    tls = endpoint.tls
    # A request that may wait for a moment only has to meet, within that moment, a server that has come back.
    longest_ms = max(_SHORTEST_BACKOFF_MS, min(_LONGEST_BACKOFF_MS, int(endpoint.connecting_s * 1000 / 2)))
    return client_class(
        endpoint.address,
        ssl=tls is not None,
        root_certificates=tls and tls.ca_file,
        private_key=tls and tls.key_file,
        certificate_chain=tls and tls.cert_file,
        channel_args=[
            ("grpc.max_send_message_length", endpoint.max_message_bytes),
            ("grpc.max_receive_message_length", endpoint.max_message_bytes),
            # By default gRPC waits 1 s, then up to 2 min, between attempts to connect, and fails requests meanwhile.
            # Our retries would then miss a server that has come back.
            ("grpc.initial_reconnect_backoff_ms", _SHORTEST_BACKOFF_MS),
            ("grpc.min_reconnect_backoff_ms", 1_000),  # which is the longest time to connect
            ("grpc.max_reconnect_backoff_ms", longest_ms),
            *proxy_arguments(endpoint.address),
        ],
    )


class _Keeper:
    """Keeps gRPC itself open with a channel that never connects.

    gRPC shuts down with its last channel, in a thread of its own. A fork in the middle of that leaves a lock held.
    """

    def __init__(self) -> None:
        self._channel = grpc.insecure_channel("localhost:1")
        _fork.register(self)

    def after_fork(self) -> None:
        """Note whether gRPC still works here, even if no connection is open."""
        if os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in _OFF:
            _Connection._is_broken = True


class _Connection:
    """The base of both transports, which protects forked processes.

    gRPC works in threads, which a forked process lacks. gRPC starts again there if no thread was in a call at the fork
    (with its asyncio client, one always is). Otherwise no call in the fork ever ends, not even on a new connection:
    deadlines have no effect, and some calls crash the process.
    """

    _is_broken: ClassVar[bool] = False  # in this process
    _keeper: ClassVar["_Keeper | None"] = None

    def __init__(self) -> None:
        if self._is_broken:
            raise ProcessForked(
                "this process was forked (by multiprocessing, gunicorn, Airflow …) while gRPC was in use, and gRPC "
                "does not work then: before a fork, close each AsyncClient and let the requests of each Client end; or "
                "start processes with 'spawn' or 'forkserver', or use protocol='http'"
            )
        if _Connection._keeper is None:
            _Connection._keeper = _Keeper()
        _fork.register(self)

    def after_fork(self) -> None:
        """Leave the connection to the parent, and note whether gRPC still works here."""
        if self._in_use():
            _Connection._is_broken = True
        _fork.keep_forever(self)

    def _in_use(self) -> bool:
        """Return whether a thread may be in a call."""
        return True

    def _closed(self) -> None:
        _fork.forget(self)


class GrpcTransport(_Connection):
    """One HTTP/2 connection, shared by all threads."""

    supports_streams = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._calls = Calls(_DIALECT, endpoint)
        self._lock = threading.Lock()
        self._streams: set[GrpcStream] = set()
        self._calls_under_way = 0
        with our_errors(endpoint):
            self._client = _client(GrpcClient, endpoint)

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Make one attempt; gRPC itself keeps the deadline."""
        with our_errors(self._endpoint, timeout_s), self._call_under_way():
            call = self._calls.call(operation, timeout_s)
            result = getattr(self._client, call.method)(**call.arguments)
            return self._calls.answer(operation, result)

    @contextmanager
    def _call_under_way(self) -> Iterator[None]:
        with self._lock:
            self._calls_under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls_under_way -= 1

    def _in_use(self) -> bool:
        return bool(self._calls_under_way or self._streams)

    def open_stream(self, silence_s: float | None) -> GrpcStream:
        """Return a stream of requests, on a connection of its own."""
        client = _client(GrpcClient, self._endpoint)
        stream = GrpcStream(client, self._endpoint, self._calls, silence_s, self._forget)
        with self._lock:
            self._streams.add(stream)
        return stream

    def _forget(self, stream: GrpcStream) -> None:
        with self._lock:
            self._streams.discard(stream)

    def close(self) -> None:
        """Close the channel; requests under way are cancelled."""
        with self._lock:
            streams = list(self._streams)
        if streams:
            with ThreadPoolExecutor(len(streams)) as threads:  # in parallel, because each may wait a moment
                list(threads.map(GrpcStream.close, streams))
        self._client.close()
        self._closed()


class AsyncGrpcTransport(_Connection):
    """One HTTP/2 connection in the running event loop."""

    supports_streams = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._calls = Calls(_DIALECT, endpoint)
        self._streams: set[AsyncGrpcStream] = set()
        with our_errors(endpoint):
            self._client = _client(triton_grpc_aio.InferenceServerClient, endpoint)

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Make one attempt; gRPC itself keeps the deadline."""
        with our_errors(self._endpoint, timeout_s):
            call = self._calls.call(operation, timeout_s)
            result = await getattr(self._client, call.method)(**call.arguments)
            return self._calls.answer(operation, result)

    def open_stream(self, silence_s: float | None) -> AsyncGrpcStream:
        """Return a stream of requests."""
        stream = AsyncGrpcStream(self._client, self._endpoint, self._calls, silence_s, self._streams.discard)
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Close the channel; requests under way are cancelled."""
        await asyncio.gather(*(stream.aclose() for stream in [*self._streams]))
        await self._client.close()
        self._closed()

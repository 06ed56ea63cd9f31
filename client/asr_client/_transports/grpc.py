"""gRPC, by tritonclient's clients: the sync one is safe to share between threads, the async one lives in one loop."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio

from asr_client._errors import DeadlineExceeded
from asr_client._protocol import Answer, InferLong, Operation, Tensors
from asr_client._transports.base import Endpoint
from asr_client._transports.errors import our_errors
from asr_client._transports.triton import Calls


def _client(client_class: Any, endpoint: Endpoint) -> Any:
    tls = endpoint.tls
    return client_class(
        endpoint.address,
        ssl=tls is not None,
        root_certificates=tls and tls.ca_file,
        private_key=tls and tls.key_file,
        certificate_chain=tls and tls.cert_file,
        channel_args=[
            ("grpc.max_send_message_length", endpoint.max_message_bytes),
            ("grpc.max_receive_message_length", endpoint.max_message_bytes),
            # gRPC waits 1 s, then up to 2 min, between attempts to connect, and fails requests meanwhile: our retries
            # would never meet a server that came back.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ],
    )


class GrpcTransport:
    """One HTTP/2 connection, shared by all threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._calls = Calls(triton_grpc, endpoint)
        self._lock = threading.Lock()
        self._streaming: set[Any] = set()  # of long recordings
        with our_errors(endpoint):
            self._client = _client(triton_grpc.InferenceServerClient, endpoint)

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """One attempt; gRPC itself keeps the deadline."""
        if isinstance(operation, InferLong):
            return cast("Answer", self._send_long(operation))
        with our_errors(self._endpoint, timeout_s):
            call = self._calls.call(operation, timeout_s)
            result = getattr(self._client, call.method)(**call.arguments)
            return self._calls.answer(operation, result)

    def _send_long(self, operation: InferLong) -> tuple[Tensors, ...]:
        upload, silence_s = self._calls.upload(operation), operation.silence_s
        said: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        with our_errors(self._endpoint, silence_s):
            # Of its own: one of tritonclient's clients has one stream.
            client = _client(triton_grpc.InferenceServerClient, self._endpoint)
            with self._lock:
                self._streaming.add(client)
            try:
                client.start_stream(lambda result, error: said.put((result, error)), headers=self._calls.headers)
                for arguments in upload.requests():
                    client.async_stream_infer(**arguments)
                    is_last = False
                    while not is_last:
                        result, error = _next(said, silence_s)
                        if error is not None:
                            raise error
                        is_last = upload.take(result)
            finally:
                with self._lock:
                    self._streaming.discard(client)
                client.stop_stream(cancel_requests=True)
                client.close()
        return tuple(upload.answers)

    def close(self) -> None:
        """Close the channel; requests under way are cancelled."""
        with self._lock:
            streaming = list(self._streaming)
        for client in streaming:
            client.stop_stream(cancel_requests=True)
        self._client.close()


def _next(said: "queue.SimpleQueue[tuple[Any, Any]]", silence_s: float | None) -> tuple[Any, Any]:
    try:
        return said.get(timeout=silence_s)
    except queue.Empty:
        raise DeadlineExceeded(f"the server has said nothing for {silence_s:g} s about a long recording") from None


class AsyncGrpcTransport:
    """One HTTP/2 connection in the running event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._calls = Calls(triton_grpc, endpoint)
        with our_errors(endpoint):
            self._client = _client(triton_grpc_aio.InferenceServerClient, endpoint)

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """One attempt; gRPC itself keeps the deadline."""
        if isinstance(operation, InferLong):
            return cast("Answer", await self._send_long(operation))
        with our_errors(self._endpoint, timeout_s):
            call = self._calls.call(operation, timeout_s)
            result = await getattr(self._client, call.method)(**call.arguments)
            return self._calls.answer(operation, result)

    async def _send_long(self, operation: InferLong) -> tuple[Tensors, ...]:
        upload, silence_s = self._calls.upload(operation), operation.silence_s
        requests, taken = upload.requests(), asyncio.Semaphore(1)

        async def one_by_one() -> AsyncIterator[dict[str, Any]]:
            while True:
                await taken.acquire()
                arguments = await asyncio.to_thread(next, requests, None)
                if arguments is None:
                    return
                yield arguments

        with our_errors(self._endpoint, silence_s):
            stream = self._client.stream_infer(one_by_one(), headers=self._calls.headers)
            try:
                while True:
                    result, error = await asyncio.wait_for(anext(stream), silence_s)
                    if error is not None:
                        raise error
                    if upload.take(result):
                        taken.release()
            except StopAsyncIteration:
                return tuple(upload.answers)
            finally:
                stream.cancel()

    async def aclose(self) -> None:
        """Close the channel; requests under way are cancelled."""
        await self._client.close()

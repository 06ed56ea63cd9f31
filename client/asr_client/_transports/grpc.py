"""gRPC, by tritonclient's clients: the sync one is safe to share between threads, the async one lives in one loop."""

from typing import Any

import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio

from asr_client._protocol import Answer, Operation
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
        with our_errors(endpoint):
            self._client = _client(triton_grpc.InferenceServerClient, endpoint)

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """One attempt; gRPC itself keeps the deadline."""
        with our_errors(self._endpoint, timeout_s):
            call = self._calls.call(operation, timeout_s)
            result = getattr(self._client, call.method)(**call.arguments)
            return self._calls.answer(operation, result)

    def close(self) -> None:
        """Close the channel; requests under way are cancelled."""
        self._client.close()


class AsyncGrpcTransport:
    """One HTTP/2 connection in the running event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._calls = Calls(triton_grpc, endpoint)
        with our_errors(endpoint):
            self._client = _client(triton_grpc_aio.InferenceServerClient, endpoint)

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """One attempt; gRPC itself keeps the deadline."""
        with our_errors(self._endpoint, timeout_s):
            call = self._calls.call(operation, timeout_s)
            result = await getattr(self._client, call.method)(**call.arguments)
            return self._calls.answer(operation, result)

    async def aclose(self) -> None:
        """Close the channel; requests under way are cancelled."""
        await self._client.close()

"""Opens the transport of a protocol, which is imported only then."""

from asr_client._transports.base import AsyncTransport, Endpoint, Transport


def open_transport(endpoint: Endpoint) -> Transport:
    """Import and open the sync transport of the endpoint's protocol; it connects with the first request."""
    match endpoint.protocol:
        case "grpc":
            from asr_client._transports.grpc import GrpcTransport

            return GrpcTransport(endpoint)
        case "http":
            from asr_client._transports.http import HttpTransport

            return HttpTransport(endpoint)


def open_async_transport(endpoint: Endpoint) -> AsyncTransport:
    """Import and open the async transport of the endpoint's protocol, in the running event loop."""
    match endpoint.protocol:
        case "grpc":
            from asr_client._transports.grpc import AsyncGrpcTransport

            return AsyncGrpcTransport(endpoint)
        case "http":
            from asr_client._transports.http import AsyncHttpTransport

            return AsyncHttpTransport(endpoint)

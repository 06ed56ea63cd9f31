"""Opens the transport of a protocol, which is imported only then."""

from asr_client._transports.base import AsyncTransport, Endpoint, Transport


def open_transport(endpoints: tuple[Endpoint, ...]) -> Transport:
    """Open the sync transport to one server, or to several; it connects with the first request."""
    if len(endpoints) == 1:
        return _open_one(endpoints[0])
    from asr_client._transports.balanced import BalancedTransport

    return BalancedTransport(endpoints, _open_one)


def open_async_transport(endpoints: tuple[Endpoint, ...]) -> AsyncTransport:
    """Open the async transport to one server, or to several, in the running event loop."""
    if len(endpoints) == 1:
        return _open_one_async(endpoints[0])
    from asr_client._transports.balanced import AsyncBalancedTransport

    return AsyncBalancedTransport(endpoints, _open_one_async)


def _open_one(endpoint: Endpoint) -> Transport:
    match endpoint.protocol:
        case "grpc":
            from asr_client._transports.grpc import GrpcTransport

            return GrpcTransport(endpoint)
        case "http":
            from asr_client._transports.http import HttpTransport

            return HttpTransport(endpoint)


def _open_one_async(endpoint: Endpoint) -> AsyncTransport:
    match endpoint.protocol:
        case "grpc":
            from asr_client._transports.grpc import AsyncGrpcTransport

            return AsyncGrpcTransport(endpoint)
        case "http":
            from asr_client._transports.http import AsyncHttpTransport

            return AsyncHttpTransport(endpoint)

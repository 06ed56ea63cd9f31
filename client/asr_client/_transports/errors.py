"""Translates the exceptions of tritonclient, grpc, aiohttp and the system into our errors; no other module does.

These are Triton's answers, read in its sources and seen on release 24.10 (gRPC status, HTTP status):

    refused input        INVALID_ARGUMENT    400
    unknown model        NOT_FOUND           404   "Request for unknown model: 'x' is not found"
    model not loaded     UNAVAILABLE         503   "Request for unknown model: 'x' has no available versions"
    model unloading      NOT_FOUND           404   the same
    queue full           UNAVAILABLE         503   "Exceeds maximum queue size"
    expired in queue     UNAVAILABLE         503   "Request timeout expired"
    backend failed       INTERNAL            500
    a process was killed INTERNAL            500   "Stub process 'acoustic_0_0' is not healthy."
    a closed protocol    UNAVAILABLE         403   "This protocol is restricted, expecting header …"

The kit's own models begin their messages with a code (`asr_contract.errors`), which says more than the status does. In
a stream Triton sends no status, so there is only the code.

`public` has words of a server only where a code of the kit says that they are about the recording or its options. All
other words of servers, proxies and the network may name addresses, folders or processes, and stay out of it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from asr_contract.errors import ErrorCode, decode, limit_of
from tritonclient.utils import InferenceServerException

from asr_client import _errors, _options
from asr_client._address import proxy_of
from asr_client._transports.base import Endpoint

_CODE_OF_HTTP_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_ERROR_OF_CODE: dict[str, type[_errors.AsrError]] = {
    "INVALID_ARGUMENT": _errors.InvalidRequest,
    "NOT_FOUND": _errors.ModelNotFound,
    "UNAVAILABLE": _errors.ServerUnavailable,
    "RESOURCE_EXHAUSTED": _errors.QueueFull,  # of a proxy; Triton says UNAVAILABLE
    "DEADLINE_EXCEEDED": _errors.DeadlineExceeded,
    "UNAUTHENTICATED": _errors.AccessDenied,
    "PERMISSION_DENIED": _errors.AccessDenied,
    # A stream that a proxy or the server reset. Our own closing looks the same here; the client tells it apart.
    "CANCELLED": _errors.RequestInterrupted,
}
_ERROR_OF_KIT: dict[ErrorCode, type[_errors.AsrError]] = {
    ErrorCode.INVALID_AUDIO: _errors.InvalidRequest,
    ErrorCode.INVALID_PARAMETER: _errors.OptionRefused,
    ErrorCode.INVALID_REQUEST: _errors.InvalidRequest,
    ErrorCode.AUDIO_TOO_LONG: _errors.AudioTooLong,
    ErrorCode.UNKNOWN_SEQUENCE: _errors.StreamLost,
    ErrorCode.QUEUE_FULL: _errors.QueueFull,
    ErrorCode.STOPPING: _errors.ServerUnavailable,
    ErrorCode.MODEL_FAILED: _errors.ServerError,
    ErrorCode.CANCELLED: _errors.RequestInterrupted,
}
# Words of Triton and of others that say more than the status does.
_ERROR_OF_WORDS: tuple[tuple[re.Pattern[str], type[_errors.AsrError]], ...] = (
    (re.compile(r"maximum queue size", re.IGNORECASE), _errors.QueueFull),
    (re.compile(r"request timeout expired", re.IGNORECASE), _errors.DeadlineExceeded),
    (re.compile(r"unknown model: .* is not found", re.IGNORECASE), _errors.ModelNotFound),
    # The server is starting or stopping; the code is NOT_FOUND then.
    (re.compile(r"has no available versions", re.IGNORECASE), _errors.ServerUnavailable),
    (re.compile(r"stub process .* is not healthy", re.IGNORECASE), _errors.RequestInterrupted),
    (re.compile(r"must specify the START flag"), _errors.StreamLost),
    (re.compile(r"this (?:protocol|api) is restricted", re.IGNORECASE), _errors.AccessDenied),
    (re.compile(r"message larger than max|too large|exceeds the maximum", re.IGNORECASE), _errors.MessageTooLarge),
)
# Codes whose text is for whoever sent the recording.
_FOR_CALLERS = frozenset((ErrorCode.INVALID_AUDIO, ErrorCode.INVALID_PARAMETER, ErrorCode.AUDIO_TOO_LONG))
_REFUSALS = (_errors.ModelNotFound, _errors.StreamLost)
# A connection that ended after the request was sent, in the words of gRPC and of the system.
_BROKEN = re.compile(
    r"socket closed|connection reset|broken pipe|recvmsg|stream removed|goaway|rst_stream|endpoint closing"
    r"|disconnected",
    re.IGNORECASE,
)
# The errors that a client of one protocol gets at the port of the other.
_OTHER_PROTOCOL = {
    "http": re.compile(r"Bad status line|Expected HTTP/"),
    "grpc": re.compile(
        r"Failed parsing HTTP/2|http1\.x server|failed to connect .*Socket closed", re.IGNORECASE | re.DOTALL
    ),
}
_GRPC_SIZES = re.compile(r"larger than max \((\d+) vs\. (\d+)\)")
# Triton's own prefixes, which do not help the person who sent a recording.
_NOISE = re.compile(r"^(\[request id: [^\]]*\] |in ensemble '[^']*', |\[StatusCode\.\w+\] )+")


@contextmanager
def our_errors(endpoint: Endpoint, timeout_s: float | None = None) -> Iterator[None]:
    """Let AsrErrors pass, and turn every exception of the layers below into one, with the original as its cause."""
    try:
        yield
    except _errors.AsrError:
        raise
    except Exception as error:
        raise translate(error, endpoint, timeout_s) from error


def translate(error: Exception, endpoint: Endpoint, timeout_s: float | None = None) -> _errors.AsrError:
    """Return our error for an exception of an attempt of `timeout_s` seconds."""
    status = _status(error)
    if status or isinstance(error, InferenceServerException):
        message = _message(error)
        code, text = decode(message)
        if code is not None:
            return _of_kit(code, text, endpoint)
        return _of_status(status or "UNKNOWN", str(error), message, endpoint, timeout_s)
    is_of_aiohttp = type(error).__module__.startswith("aiohttp")
    if isinstance(error, TimeoutError) and not is_of_aiohttp:  # aiohttp's is that of connecting
        return _late(endpoint, timeout_s)
    if isinstance(error, OSError) or is_of_aiohttp:
        detail = str(error) or type(error).__name__
        if _OTHER_PROTOCOL[endpoint.protocol].search(detail):
            return _errors.ServerUnavailable(_other_port(endpoint))
        if _was_cut_off(detail):
            return _errors.RequestInterrupted(f"the {endpoint} ended the connection: {detail}")
        return _errors.ServerUnavailable(f"cannot talk to the {endpoint}: {detail}{_hint(endpoint)}")
    if isinstance(error, ValueError | RuntimeError) and "closed" in str(error).lower():
        return _errors.ClientClosed(f"the connection to the {endpoint} is closed")
    return _errors.ServerError(f"the request to the {endpoint} failed: {error!r}")


def _of_kit(code: ErrorCode, text: str, endpoint: Endpoint) -> _errors.AsrError:
    """Return our error for one of the kit's own models."""
    kind = _ERROR_OF_KIT[code]
    if code is ErrorCode.AUDIO_TOO_LONG:
        return _errors.AudioTooLong(text, limit_s=limit_of(text), public=text)
    if issubclass(kind, _errors.InvalidRequest):
        return kind.for_anybody(text) if code in _FOR_CALLERS else kind(text)
    if kind is _errors.StreamLost:
        return _lost(endpoint)
    return kind(f"{endpoint}: {text}")


def _lost(endpoint: Endpoint) -> _errors.StreamLost:
    why = (
        "has forgotten this stream: it forgets a stream that gets no audio for a minute (ten seconds, if others wait "
        "for a place), and every stream when the model is loaded again"
    )
    return _errors.StreamLost(f"the {endpoint} {why}", public=f"the server {why}")


def _late(endpoint: Endpoint, timeout_s: float | None, detail: str = "") -> _errors.DeadlineExceeded:
    who = f"no answer from the {endpoint}"
    if timeout_s is None:
        return _errors.DeadlineExceeded(f"{who} in time", public="no answer in time", detail=detail)
    return _errors.DeadlineExceeded(who, timeout_s=timeout_s, detail=detail)


def _of_status(status: str, whole: str, message: str, endpoint: Endpoint, timeout_s: float | None) -> _errors.AsrError:
    code = _CODE_OF_HTTP_STATUS.get(int(status), "INTERNAL") if status.isdigit() else status.rpartition(".")[2]
    kind = _ERROR_OF_CODE.get(code, _errors.ServerError)
    for words, better in _ERROR_OF_WORDS:
        # Every other INVALID_ARGUMENT is about the recording, whatever its words.
        if words.search(whole) and (code != "INVALID_ARGUMENT" or better in _REFUSALS):
            kind = better
            break
    if status == "413" or kind is _errors.MessageTooLarge:
        return _too_large(message, endpoint)
    if kind is _errors.InvalidRequest:
        return kind(message)
    if kind is _errors.DeadlineExceeded:
        return _late(endpoint, timeout_s, message)
    if kind is _errors.StreamLost:
        return _lost(endpoint)
    if kind is _errors.ModelNotFound:
        return kind(f"the {endpoint} has no such model: {message}")
    if kind is _errors.ServerUnavailable and _OTHER_PROTOCOL[endpoint.protocol].search(message):
        return kind(_other_port(endpoint))
    if kind is _errors.ServerUnavailable and _was_cut_off(message):
        kind = _errors.RequestInterrupted
    hint = _hint(endpoint) if kind is _errors.ServerUnavailable and "connect" in message.lower() else ""
    return kind(f"{endpoint}: {message}{hint}")


def _too_large(message: str, endpoint: Endpoint) -> _errors.MessageTooLarge:
    sizes = _GRPC_SIZES.search(message)
    size, limit = (int(sizes[1]), int(sizes[2])) if sizes else (None, None)
    return _errors.MessageTooLarge(
        f"{endpoint}: {message}. This client's limit is {endpoint.max_message_bytes:,} bytes "
        "(Client(max_message_bytes=…)); if the server or a proxy refused, raise its own limit or send less: FLAC or "
        "Opus instead of WAV, or shorter recordings",
        size_bytes=size,
        limit_bytes=limit,
        public="the recording is too large: send less, as FLAC or Opus instead of WAV, or shorter recordings",
    )


def _was_cut_off(message: str) -> bool:
    """Return whether an open connection has ended. After "failed to connect to …" there was none, and no request."""
    return _BROKEN.search(message) is not None and "connect to" not in message.lower()


def _hint(endpoint: Endpoint) -> str:
    facts = _options.PROTOCOLS[endpoint.protocol]
    proxy = proxy_of(endpoint.address) if facts.heeds_proxies else None
    way = f"; {proxy} is set, and gRPC goes through that proxy unless no_proxy names the host" if proxy else ""
    return f" (is the server running, and is this its {facts.name} port? Triton's default is {facts.port}{way})"


def _other_port(endpoint: Endpoint) -> str:
    """Return the message for the port of another protocol, in place of that protocol's bytes."""
    own = _options.PROTOCOLS[endpoint.protocol].name
    ((other, name),) = ((key, it.name) for key, it in _options.PROTOCOLS.items() if key != endpoint.protocol)
    return (
        f"something answers at {endpoint.address}, but it does not speak {own}; it seems to be the {name} port: say "
        f"protocol={other!r} (--protocol {other}), or give the {own} port"
    )


def _status(error: Exception) -> str | None:
    """Return the status of a tritonclient or grpc exception, "StatusCode.UNAVAILABLE" or "503"; None for others."""
    status = getattr(error, "status", None) or getattr(error, "code", None)
    value = status() if callable(status) else None
    return None if value is None else str(value)


def _message(error: Exception) -> str:
    message = getattr(error, "message", None) or getattr(error, "details", None)
    text = str(message() if callable(message) else error)
    # The Python backend adds the place in the model's source, which the server's log has too.
    text = " ".join(text.partition("\n\nAt:\n")[0].split())
    return _NOISE.sub("", text) or "no details given"

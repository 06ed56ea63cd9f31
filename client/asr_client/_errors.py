"""The errors of a client: everything that can go wrong when you ask a server for a transcript.

AsrError
├── InvalidRequest           the server refuses what was sent; sending it again will not help
│   ├── OptionRefused        the model does not take one of the options of decoding, or its value
│   ├── AudioTooLong         the recording is longer than the model takes
│   └── InvalidAudio         the client cannot send the recording: missing file, array without sampling rate …
├── MessageTooLarge          the recording does not fit the message limit, here or at the server
├── ServerUnavailable        nobody answers, or the model is not ready yet (retried)
│   ├── QueueFull            the server answers that it has too much to do (retried)
│   └── RequestInterrupted   the server, or a model's process, ended while it had the request (retried, a few times)
├── StreamLost               the server has forgotten a live stream, or an upload, that got no audio for too long
├── DeadlineExceeded         no answer within `timeout_s`, retries included
├── ModelNotFound            the server has no model of this name
├── ModelMismatch            the model is there, but is not a speech recognition ensemble of this kit
├── AccessDenied             the server, or a proxy before it, wants other credentials
├── ServerError              the server failed, or its answer makes no sense
├── ClientClosed             the client was used after `close()`
├── ProcessForked            a forked process cannot use a call, or gRPC, that was in use at the fork
├── InvalidOption            an argument of the client itself (also a ValueError)
└── InvalidManifest          a line of an evaluation manifest (also a ValueError)

This package raises only these errors; the `__cause__` of each is the exception of the library below.
"""

from typing import ClassVar


class AsrError(Exception):
    """Base of all errors that `asr_client` raises.

    Attributes:
        retryable: whether the same request may succeed a moment later.
        attempts: how often the request was sent before this error was given to the caller (0: never).
    """

    retryable: ClassVar[bool] = False
    attempts: int = 0

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} (after {self.attempts} attempts)" if self.attempts > 1 else message


class InvalidRequest(AsrError):
    """The server refuses what was sent: not audio, too long, an unknown option …"""


class InvalidAudio(InvalidRequest):
    """The recording cannot be sent: file missing, wrong array shape or dtype, sampling rate missing …"""


class OptionRefused(InvalidRequest):
    """The model does not take one of the options of decoding, or its value; it would refuse them for any recording."""


class AudioTooLong(InvalidRequest):
    """The recording is longer than the model takes, and the server has no model for long recordings."""


class MessageTooLarge(AsrError):
    """The recording does not fit the message limit of the client or of the server.

    Attributes:
        size_bytes: the size of the message, where known.
        limit_bytes: the limit that it exceeds, where known.
    """

    def __init__(self, message: str, *, size_bytes: int | None = None, limit_bytes: int | None = None) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class ServerUnavailable(AsrError):
    """No server answers at the address, the connection broke, or the model is not ready yet."""

    retryable = True


class QueueFull(ServerUnavailable):
    """The server's queue is full: it already holds as many requests as it is configured to hold."""


class RequestInterrupted(ServerUnavailable):
    """The server, or the process of one of its models, ended while it had the request.

    The client retries the request only a few times, because the recording itself may end the process.
    """


class StreamLost(AsrError):
    """The server has forgotten a live stream, or the upload of a long recording; the audio so far is gone.

    It forgets a stream that gets no audio for a minute (ten seconds, if others wait for a place), and every stream when
    the model is loaded again.
    """


class DeadlineExceeded(AsrError):
    """No answer came within `timeout_s`, retries included."""


class ModelNotFound(AsrError):
    """The server has no model of this name and version."""


class ModelMismatch(AsrError):
    """The model's inputs and outputs are not those of a speech recognition ensemble of this kit."""


class AccessDenied(AsrError):
    """The server, or a proxy before it, does not accept the credentials."""


class ServerError(AsrError):
    """The server failed, or its answer makes no sense."""


class ClientClosed(AsrError):
    """The client was used after it was closed, or closed while a request was under way."""


class ProcessForked(AsrError):
    """The process was forked while a call, or gRPC, was in use, so the child can use neither."""


class InvalidOption(AsrError, ValueError):
    """An argument of the client is not valid; the message says what is."""


class InvalidManifest(AsrError, ValueError):
    """An evaluation manifest cannot be read; the message names the line."""

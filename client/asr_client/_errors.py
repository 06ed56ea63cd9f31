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
├── StreamLost               the server has forgotten a live stream, or an upload, that was under way
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

The message of an error is for whoever runs the program: it may name addresses and files. `public` is for anybody, such
as the callers of a web service. It is written where the error is made, or is the sentence of the error's class; no code
takes addresses out of a message.
"""

from typing import ClassVar, Self


class AsrError(Exception):
    """Base of all errors that `asr_client` raises.

    Attributes:
        retryable: whether the same request may succeed a moment later.
        attempts: how often the request was sent before this error was given to the caller (0: never).
        obstacle: why it was not sent again, though it is retryable; "" if nothing kept it from that.
    """

    retryable: ClassVar[bool] = False
    attempts: int = 0
    obstacle: str = ""
    _sentence: ClassVar[str] = "the request failed"  # the public message of an error without words of its own

    def __init__(self, *message: object, public: str | None = None) -> None:
        super().__init__(*message)
        self._public = public

    @classmethod
    def for_anybody(cls, message: str) -> Self:
        """Return an error whose whole message is public, too."""
        return cls(message, public=message)

    @property
    def public(self) -> str:
        """Return the message for strangers: it names no address, no port and no file, and nothing of the network."""
        return self._public or self._sentence

    def __str__(self) -> str:
        message = self._said()
        if self.obstacle:
            message = f"{message}; the recording was not sent again: {self.obstacle}"
        return f"{message} (after {self.attempts} attempts)" if self.attempts > 1 else message

    def _said(self) -> str:
        """Return the message of the last attempt."""
        return super().__str__()


class InvalidRequest(AsrError):
    """The server refuses what was sent: not audio, too long, an unknown option …"""

    _sentence = "the server refuses the request"


class InvalidAudio(InvalidRequest):
    """The recording cannot be sent: file missing, wrong array shape or dtype, sampling rate missing …"""

    _sentence = "the recording cannot be used"


class OptionRefused(InvalidRequest):
    """The model does not take one of the options of decoding, or its value; it would refuse them for any recording."""

    _sentence = "the model does not take one of the options, or its value"


class AudioTooLong(InvalidRequest):
    """The recording is longer than the model takes, and the server has no model for long recordings.

    Attributes:
        limit_s: seconds that the model takes, where known.
    """

    _sentence = "the recording is longer than the model takes"

    def __init__(self, message: str, *, limit_s: float | None = None, public: str | None = None) -> None:
        super().__init__(message, public=public)
        self.limit_s = limit_s


class MessageTooLarge(AsrError):
    """The recording does not fit the message limit of the client or of the server.

    Attributes:
        size_bytes: the size of the message, where known.
        limit_bytes: the limit that it exceeds, where known.
    """

    _sentence = "the recording is too large"

    def __init__(
        self,
        message: str,
        *,
        size_bytes: int | None = None,
        limit_bytes: int | None = None,
        public: str | None = None,
    ) -> None:
        super().__init__(message, public=public)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class ServerUnavailable(AsrError):
    """No server answers at the address, the connection broke, or the model is not ready yet."""

    retryable = True
    _sentence = "no server is available at the moment"


class QueueFull(ServerUnavailable):
    """The server's queue is full: it already holds as many requests as it is configured to hold."""

    _sentence = "the server has too much to do at the moment"


class RequestInterrupted(ServerUnavailable):
    """The server, or the process of one of its models, ended while it had the request.

    The client retries the request only a few times, because the recording itself may end the process.
    """

    _sentence = "the request was interrupted at the server"


class StreamLost(AsrError):
    """The server has forgotten a live stream, or the upload of a long recording; the audio so far is gone.

    It forgets every stream when the model is loaded again, and one that gets no audio for a minute (ten seconds, if
    others wait for a place). The client begins a live stream again that was lost while nothing was sent, and does not
    raise this error.
    """

    _sentence = "the server has forgotten the stream"


class DeadlineExceeded(AsrError):
    """No answer came within `timeout_s`, retries included.

    Attributes:
        timeout_s: the seconds that the request was given, not what the last attempt had left of them; None where there
            was no limit, or where the message has it.
    """

    _sentence = "no answer came in time"

    def __init__(
        self, *message: object, public: str | None = None, timeout_s: float | None = None, detail: str = ""
    ) -> None:
        self.timeout_s = timeout_s
        self._detail = detail
        super().__init__(*message, public=public)

    @property
    def public(self) -> str:
        """Return the message for strangers, with the seconds."""
        return super().public if self.timeout_s is None else f"no answer{self._within}"

    @property
    def _within(self) -> str:
        return "" if self.timeout_s is None else f" within {self.timeout_s:g} s"

    def _said(self) -> str:
        return f"{super()._said()}{self._within}{self._detail and ': '}{self._detail}"


class ModelNotFound(AsrError):
    """The server has no model of this name and version."""

    _sentence = "there is no such model"


class ModelMismatch(AsrError):
    """The model's inputs and outputs are not those of a speech recognition ensemble of this kit."""

    _sentence = "the model is not one for speech recognition"


class AccessDenied(AsrError):
    """The server, or a proxy before it, does not accept the credentials."""

    _sentence = "the server does not accept the credentials"


class ServerError(AsrError):
    """The server failed, or its answer makes no sense."""

    _sentence = "the server failed"


class ClientClosed(AsrError):
    """The client was used after it was closed, or closed while a request was under way."""

    _sentence = "the connection to the server is closed"


class ProcessForked(AsrError):
    """The process was forked while a call, or gRPC, was in use, so the child can use neither."""


class InvalidOption(AsrError, ValueError):
    """An argument of the client is not valid; the message says what is."""

    _sentence = "an option is not valid"


class InvalidManifest(AsrError, ValueError):
    """An evaluation manifest cannot be read; the message names the line."""

    _sentence = "the manifest cannot be read"

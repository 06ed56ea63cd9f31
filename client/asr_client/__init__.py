"""The client of speech recognition services that this kit puts on Triton.

The import is quick: numpy and tritonclient are imported with the first request.
"""

from asr_client._audio import Audio
from asr_client._client import AsyncClient, Client
from asr_client._errors import (
    AccessDenied,
    AsrError,
    AudioTooLong,
    ClientClosed,
    DeadlineExceeded,
    InvalidAudio,
    InvalidManifest,
    InvalidOption,
    InvalidRequest,
    MessageTooLarge,
    ModelMismatch,
    ModelNotFound,
    OptionRefused,
    ProcessForked,
    QueueFull,
    RequestInterrupted,
    ServerError,
    ServerUnavailable,
    StreamLost,
)
from asr_client._options import DecodeOptions, RetryPolicy, Tls
from asr_client._results import Alternative, Outcome, StreamResult, Transcription, Word

__all__ = [
    "AccessDenied",
    "Alternative",
    "AsrError",
    "AsyncClient",
    "Audio",
    "AudioTooLong",
    "Client",
    "ClientClosed",
    "DeadlineExceeded",
    "DecodeOptions",
    "InvalidAudio",
    "InvalidManifest",
    "InvalidOption",
    "InvalidRequest",
    "MessageTooLarge",
    "ModelMismatch",
    "ModelNotFound",
    "OptionRefused",
    "Outcome",
    "ProcessForked",
    "QueueFull",
    "RequestInterrupted",
    "RetryPolicy",
    "ServerError",
    "ServerUnavailable",
    "StreamLost",
    "StreamResult",
    "Tls",
    "Transcription",
    "Word",
]

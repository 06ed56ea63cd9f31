"""The client of speech recognition services that this kit puts on Triton.

The import is quick: numpy and tritonclient are imported with the first request.
"""

from asr_client._audio import Audio
from asr_client._calls.live import FLUSH, Flush
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
from asr_client._results import Alternative, ModelInfo, Outcome, Segment, StreamResult, Transcription, Word

__all__ = [
    "FLUSH",
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
    "Flush",
    "InvalidAudio",
    "InvalidManifest",
    "InvalidOption",
    "InvalidRequest",
    "MessageTooLarge",
    "ModelInfo",
    "ModelMismatch",
    "ModelNotFound",
    "OptionRefused",
    "Outcome",
    "ProcessForked",
    "QueueFull",
    "RequestInterrupted",
    "RetryPolicy",
    "Segment",
    "ServerError",
    "ServerUnavailable",
    "StreamLost",
    "StreamResult",
    "Tls",
    "Transcription",
    "Word",
]

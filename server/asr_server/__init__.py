"""Start of a Triton server: the pip-installed one with a stand-in ONNX Runtime backend, or a full one."""

from asr_server.errors import (
    OptionError,
    PortInUseError,
    RepositoryError,
    ServerDiedError,
    StartTimeoutError,
    TritonNotFoundError,
    TritonServerError,
    UnsupportedError,
)
from asr_server.server import TritonServer

__all__ = [
    "OptionError",
    "PortInUseError",
    "RepositoryError",
    "ServerDiedError",
    "StartTimeoutError",
    "TritonNotFoundError",
    "TritonServer",
    "TritonServerError",
    "UnsupportedError",
]

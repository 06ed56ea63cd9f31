"""Starts a Triton server: the pip-installed one with a stand-in ONNX Runtime backend, or a full one."""

from asr_server.errors import (
    OptionError,
    PortInUseError,
    RepositoryError,
    ServerDiedError,
    ServerError,
    StartTimeoutError,
    TritonNotFoundError,
    UnsupportedError,
)
from asr_server.server import TritonServer

__all__ = [
    "OptionError",
    "PortInUseError",
    "RepositoryError",
    "ServerDiedError",
    "ServerError",
    "StartTimeoutError",
    "TritonNotFoundError",
    "TritonServer",
    "UnsupportedError",
]

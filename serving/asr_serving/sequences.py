"""A piece of a sequence of requests: of a long recording or of a live stream."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Piece:
    """One request of a sequence."""

    key: object  # of the sequence
    data: bytes
    parameters: dict[str, Any]
    is_first: bool  # the sequence begins with it
    is_last: bool  # the sequence ends with it

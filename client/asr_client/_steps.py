"""What a client does, told apart from how it waits.

Everything that takes time is a step. The core of the clients is generators that yield steps and are sent the results;
`Client` does the steps by blocking, `AsyncClient` by awaiting. So each thing is written once.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from asr_client._protocol import Operation

Result = TypeVar("Result")


@dataclass(frozen=True)
class Read:
    """Call a function that blocks on files; its value is the result."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Send:
    """Send an operation, once; its answer is the result."""

    operation: Operation[Any]
    timeout_s: float | None  # what is left of the deadline; None: no limit


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


Step = Read | Send | Pause
Steps = Generator[Step, Any, Result]

"""What a client does, told apart from how it waits.

Everything that takes time is a step. The core of the clients is generators that yield steps and are sent the results;
`Client` does the steps by blocking, `AsyncClient` by awaiting. So each thing is written once.
"""

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from asr_client._calls.protocol import Answer, Operation
from asr_client._errors import AsrError
from asr_client._transports.base import AsyncStream, Stream

Result = TypeVar("Result")
END = object()  # of what a caller's source has


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
class Hear:
    """Wait for what a stream says next; the result is a `Said`."""

    stream: Stream | AsyncStream


@dataclass(frozen=True)
class Next:
    """Take what a caller's source has next; END when there is no more."""

    source: Iterator[Any] | AsyncIterator[Any]


@dataclass(frozen=True)
class Give:
    """Give a value to the caller, who may ask for no more."""

    value: Any


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


Step = Read | Send | Hear | Next | Give | Pause
Steps = Generator[Step, Any, Result]


class Dialogue(Operation[Answer]):
    """An operation of many questions and answers, within a stream of a transport that `supports_streams`."""

    silence_s: float | None  # how long the server may say nothing; None: no limit

    def steps(self, stream: Stream | AsyncStream) -> Steps[Answer]:
        """Have the dialogue on a stream, which is closed after the last step."""
        raise NotImplementedError


class Run(Generic[Result]):
    """Steps on their way.

    Attributes:
        step: what is to be done next; None when all is done.
        result: of all, then.
    """

    step: Step | None
    result: Result

    def __init__(self, steps: Steps[Result]) -> None:
        self._steps = steps
        self._resume(lambda: next(steps))

    def succeed(self, value: Any) -> None:
        """Go on with the result of the step."""
        self._resume(lambda: self._steps.send(value))

    def fail(self, error: AsrError) -> None:
        """Go on, or end, with the error that the step met."""
        self._resume(lambda: self._steps.throw(error))

    def close(self) -> None:
        """Give up what is left."""
        self._steps.close()

    def _resume(self, resume: Callable[[], Step]) -> None:
        try:
            self.step = resume()
        except StopIteration as stop:
            self.step = None
            self.result = stop.value

"""Steps separate what a client does from how it waits.

Everything that takes time is a step. The clients share generators, which yield steps and receive their results.
`Client` does the steps by blocking, `AsyncClient` by awaiting. So each call is written only once.
"""

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from asr_client._calls.protocol import Answer, Operation
from asr_client._errors import AsrError
from asr_client._transports.base import AsyncStream, Stream

Kind = TypeVar("Kind")
Result = TypeVar("Result")
END = object()  # marks the end of a caller's source


@dataclass(frozen=True)
class Read:
    """Call a function that blocks on files; its value is the result."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Send:
    """Send an operation, once; its answer is the result."""

    operation: Operation[Any]
    timeout_s: float | None  # rest of the deadline; None: no limit


@dataclass(frozen=True)
class Hear:
    """Wait for the next answer in a stream; the result is a `Said`."""

    stream: Stream | AsyncStream


@dataclass(frozen=True)
class Next:
    """Take the next item of a caller's source; the result is END when there are no more."""

    source: Iterator[Any] | AsyncIterator[Any]


@dataclass(frozen=True)
class Give:
    """Give a value to the caller, who may then stop."""

    value: Any


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Together:
    """Do several runs of steps at the same time; the result is a list with the result, or the AsrError, of each."""

    runs: "Sequence[Steps[Any]]"


Step = Read | Send | Hear | Next | Give | Pause | Together
Steps = Generator[Step, Any, Result]


class Dialogue(Operation[Answer]):
    """An operation of many questions and answers, within a stream of a transport that `supports_streams`."""

    silence_s: float | None  # longest time without an answer of the server; None: no limit
    was_taken: bool = False  # whether the server has answered in the last run

    def steps(self, stream: Stream | AsyncStream) -> Steps[Answer]:
        """Yield the steps of the dialogue on a stream, and return its answer. The caller closes the stream."""
        raise NotImplementedError


class Run(Generic[Kind, Result]):
    """A run of steps, of any kind.

    Attributes:
        step: the next step; None after the last one.
        result: the result of the run, set after the last step.
    """

    step: Kind | None
    result: Result

    def __init__(self, steps: Generator[Kind, Any, Result]) -> None:
        self._steps = steps
        self._resume(lambda: next(steps))

    def succeed(self, value: Any) -> None:
        """Continue with the result of the step."""
        self._resume(lambda: self._steps.send(value))

    def fail(self, error: AsrError) -> None:
        """Raise the step's error where the steps wait; they continue or end with it."""
        self._resume(lambda: self._steps.throw(error))

    def close(self) -> None:
        """Give up the remaining steps."""
        self._steps.close()

    def _resume(self, resume: Callable[[], Kind]) -> None:
        try:
            self.step = resume()
        except StopIteration as stop:
            self.step = None
            self.result = stop.value

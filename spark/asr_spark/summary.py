"""The summary of a job, which accumulators bring from the tasks to the driver."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.accumulators import AccumulatorParam
from pyspark.sql import SparkSession

from asr_spark.tally import Tally

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator


@dataclass(frozen=True)
class Summary:
    """What the tasks of a DataFrame have done until now.

    Spark counts tasks, not rows: when it computes a row again, because of another action on the DataFrame, a lost
    executor or a speculative copy, the row counts again. A task that fails does not count.
    """

    rows: int
    without_recording: int  # rows whose input is null
    audio_s: float
    errors: dict[str, int] = field(default_factory=dict)  # rows by the type of their error
    elapsed_s: float = 0.0  # from the start of the first task to the last row, by the executors' clocks

    @property
    def rtfx(self) -> float | None:
        """Return the seconds of audio per second of time; None before there are any."""
        return self.audio_s / self.elapsed_s if self.elapsed_s > 0 else None

    def __str__(self) -> str:
        errors = ", ".join(f"{count} {name}" for name, count in sorted(self.errors.items())) or "none"
        speed = "" if self.rtfx is None else f", {self.rtfx:.1f} s of audio a second"
        return (
            f"{self.rows} rows ({self.without_recording} without a recording), {self.audio_s:.1f} s of audio in "
            f"{self.elapsed_s:.1f} s{speed}; errors: {errors}"
        )


class _Sum(AccumulatorParam[Tally]):
    def zero(self, value: Tally) -> Tally:
        return Tally()

    def addInPlace(self, value1: Tally, value2: Tally) -> Tally:
        return value1.merged(value2)


def accumulator(session: SparkSession) -> "Accumulator[Tally] | None":
    """Return a new accumulator of tallies; None with Spark Connect, which has no accumulators."""
    if not isinstance(session, SparkSession):
        return None
    return session.sparkContext.accumulator(Tally(), _Sum())


def reporter(accumulated: "Accumulator[Tally] | None") -> Callable[[Tally], None]:
    """Return the function with which a task reports its tally."""
    return ignore if accumulated is None else accumulated.add


def ignore(tally: Tally) -> None:
    """Do nothing."""


def summary(tally: Tally) -> Summary:
    """Return the summary of all that was reported."""
    elapsed_s = 0.0 if tally.first_s is None or tally.last_s is None else max(0.0, tally.last_s - tally.first_s)
    return Summary(tally.rows, tally.without_recording, tally.audio_s, dict(tally.errors), elapsed_s)

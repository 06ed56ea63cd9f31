"""The highest rate that keeps the SLO: doubled or halved until it is between two rates, then bisected, then confirmed.

Measurements on real machines are noisy, and one wrong step would mislead all that follow. So:

- All steps of a search have the same pattern of arrivals and the same order of recordings, drawn out or compressed, so
  that two rates differ in their rate alone.
- A step that misses is repeated with another pattern, and counts as missed when both do; unless the server was clearly
  overloaded, in which case the second one would only cost time.
- A queue near its capacity needs longer than a short step to become as long as it will be. So the rate that short steps
  found is lowered by a reserve, and held for longer, with yet another pattern. When it misses, the next lower one is
  tried. Only a rate that passed this is reported.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from asr_loadtest.errors import VoidStep
from asr_loadtest.results import Capacity, Step

# (requests/s or live streams, seconds to measure, seed) -> the step.
Hold = Callable[[float, float, int], Awaitable[Step]]

TOLERANCE = 0.05
# With 0.15, a rate that the search had confirmed over 60 s kept p95 over five minutes, but not an error rate of 0.1 %
# (docs/loadtest.md): rare bursts need room.
RESERVE = 0.25
# Below this part of the first rate, which one caller alone could keep up, no rate will do.
MIN_SHARE_OF_START = 1 / 8
# Answers per request offered, in both of the last windows, below which a second look is not needed.
OVERLOADED_SHARE = 0.9
_REPEAT_SEED = 1_000  # added to the seed, so that no two kinds of steps share a pattern
_CONFIRM_SEED = 2_000
_ATTEMPTS = 3  # at a step that is void


@dataclass(frozen=True)
class Plan:
    """How a search goes about it."""

    start_rate: float  # requests/s
    max_rate: float  # the search does not go beyond
    tolerance: float = TOLERANCE  # short steps come as close to their limit as this factor, less 1
    reserve: float = RESERVE  # what is reported stays below their limit by this factor, less 1
    step_s: float = 20.0  # measured time of a step
    step_requests: int = 200  # a step is longer where this many need it …
    max_step_s: float = 120.0  # … but no longer than this, …
    needed_requests: int = 1  # … except for the SLO's quantiles, which need these
    confirm_factor: float = 3.0  # how much longer the last step is
    seed: int = 0
    whole: bool = False  # what is counted is not divided: live streams

    def seconds(self, rate: float) -> float:
        """Measured time of a step at this rate."""
        wanted_s = min(self.step_requests / rate, self.max_step_s)
        # A tenth more than needed, for requests that fail.
        return max(self.step_s, wanted_s, 1.1 * self.needed_requests / rate)

    def rounded(self, rate: float) -> float:
        """To four digits: rates are read and typed by people. Whole numbers are rounded down."""
        return float(math.floor(rate) if self.whole else f"{rate:.4g}")

    def between(self, low: float, high: float) -> float:
        """A rate in the middle of two, in which whole numbers leave none out."""
        return self.rounded((low + high) / 2 if self.whole else math.sqrt(low * high))


class CapacitySearch:
    """Looks for the capacity of whatever `hold` puts under load.

    Attributes:
        steps: all that were held so far, void ones too.
    """

    def __init__(self, hold: Hold, plan: Plan) -> None:
        self._hold, self._plan = hold, plan
        self.steps: list[Step] = []

    async def run(self) -> Capacity:
        """Search.

        Raises:
            VoidStep: a step was void again and again.
        """
        good, bad = await self._bracket()
        while good is not None and bad is not None and bad > good * (1 + self._plan.tolerance):
            middle = self._plan.between(good, bad)
            if not good < middle < bad:
                break
            if await self._keeps(middle):
                good = middle
            else:
                bad = middle
        return await self._confirm(good, bad)

    async def _bracket(self) -> tuple[float | None, float | None]:
        """A rate that keeps the SLO, and one at most twice as high that does not; None: there is none."""
        plan = self._plan
        rate = plan.rounded(min(plan.start_rate, plan.max_rate))
        good = bad = None
        while good is None or bad is None:
            if await self._keeps(rate):
                good = rate
                if rate >= plan.max_rate:
                    return good, None
                rate = min(2 * rate, plan.max_rate)
            else:
                bad = rate
                rate = plan.rounded(rate / 2)
                if good is None and rate < MIN_SHARE_OF_START * min(plan.start_rate, plan.max_rate):
                    return None, bad
        return good, bad

    async def _keeps(self, rate: float) -> bool:
        seconds, seed = self._plan.seconds(rate), self._plan.seed
        return (await self._better(rate, seconds, seed)).ok

    async def _confirm(self, good: float | None, bad: float | None) -> Capacity:
        """Hold the rate, less the reserve, for longer; or the next lower one that keeps the SLO for as long."""
        plan = self._plan
        if good is not None and bad is not None:
            good = plan.rounded(good / (1 + plan.reserve)) or good
        lowest = 0.0 if good is None else MIN_SHARE_OF_START * good
        while good is not None and good >= lowest:
            step = await self._better(good, plan.confirm_factor * plan.seconds(good), plan.seed + _CONFIRM_SEED)
            if step.ok:
                return Capacity(good, step.audio_rate, bad, plan.tolerance if bad is None else bad / good - 1)
            bad, good = good, plan.rounded(good / (1 + plan.tolerance))
        return Capacity(None, None, bad, plan.tolerance)

    async def _better(self, rate: float, seconds: float, seed: int) -> Step:
        """A step that keeps the SLO, if one of two does; the second is spared where the first one says enough."""
        step = await self._valid(rate, seconds, seed)
        if step.ok or _is_overloaded(step):
            return step
        return await self._valid(rate, seconds, seed + _REPEAT_SEED)

    async def _valid(self, rate: float, seconds: float, seed: int) -> Step:
        """A step that is a result, however often it is tried: a void one says nothing, so that it leans to no side."""
        for _ in range(_ATTEMPTS):
            step = await self._hold(rate, seconds, seed)
            self.steps.append(step)
            if not step.void:
                return step
        counted = "live streams" if self._plan.whole else "requests/s"
        raise VoidStep(
            f"the search ends at {rate:g} {counted}, where the step was void {_ATTEMPTS} times: {'; '.join(step.void)}"
        )


def _is_overloaded(step: Step) -> bool:
    """Whether so much was left unanswered, for so long, that it was no disturbance."""
    return bool(step.windows) and all(
        window.answered_rate < OVERLOADED_SHARE * step.offered_rate for window in step.windows[-2:]
    )

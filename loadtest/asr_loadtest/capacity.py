"""The search for the highest rate that keeps the SLO.

The search doubles or halves the rate until the limit lies between two rates. Then it bisects, and then it confirms.
Measurements on real machines are noisy, and one wrong step would mislead all that follow. So:

- All steps of a search have the same pattern of arrivals, drawn out or compressed, and the same order of recordings.
  Two steps differ in their rate alone.
- A step that misses is repeated with another pattern, and counts as missed when both miss. Where the server was clearly
  overloaded, a second step would only cost time: there is none.
- A queue near its capacity takes longer than a short step to grow to its full length. So the search lowers the rate
  that short steps found by a reserve, and holds it for longer, with yet another pattern. When that misses, the search
  tries the next lower rate. It reports only a rate that passed this.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from asr_loadtest.errors import VoidStep
from asr_loadtest.results import Capacity, Step

# Takes requests/s or live streams, seconds to measure, and a seed; returns the step.
Hold = Callable[[float, float, int], Awaitable[Step]]

TOLERANCE = 0.05
# Rare bursts need room. With 0.15, a rate that the search had confirmed over 60 s kept p95 over five minutes, but not
# an error rate of 0.1 % (docs/loadtest.md).
RESERVE = 0.25
# The search ends below this part of the first rate, which a single caller could keep up.
MIN_SHARE_OF_START = 1 / 8
# A server that answers less than this part of the offered requests, in both of the last windows, is clearly overloaded.
OVERLOADED_SHARE = 0.9
_REPEAT_SEED = 1_000  # added to the seed, so that each kind of step has a pattern of its own
_CONFIRM_SEED = 2_000
_ATTEMPTS = 3  # to hold a step that is not void


@dataclass(frozen=True)
class Plan:
    """The plan of a search."""

    start_rate: float  # requests/s
    max_rate: float  # the search tries no higher one
    tolerance: float = TOLERANCE  # short steps come this close to the limit, as a ratio less 1
    reserve: float = RESERVE  # the reported rate stays this far below that limit, as a ratio less 1
    step_s: float = 20.0  # measured time of a step
    step_requests: int = 200  # a step takes longer where this many requests need it …
    max_step_s: float = 120.0  # … but no longer than this, …
    needed_requests: int = 1  # … unless the SLO's quantiles need this many requests
    confirm_factor: float = 3.0  # how many times longer the last step is
    seed: int = 0
    whole: bool = False  # rates are whole numbers: of live streams

    def seconds(self, rate: float) -> float:
        """Return the measured time of a step at this rate."""
        wanted_s = min(self.step_requests / rate, self.max_step_s)
        # A tenth more than needed makes up for requests that fail.
        return max(self.step_s, wanted_s, 1.1 * self.needed_requests / rate)

    def rounded(self, rate: float) -> float:
        """Return the rate with four digits, because people read and type it; whole numbers are rounded down."""
        return float(math.floor(rate) if self.whole else f"{rate:.4g}")

    def between(self, low: float, high: float) -> float:
        """Return a rate between two: the geometric mean; of whole numbers the mean, which leaves none out."""
        return self.rounded((low + high) / 2 if self.whole else math.sqrt(low * high))


class CapacitySearch:
    """Searches for the capacity of a server that `hold` puts under load.

    Attributes:
        steps: all steps that were held so far, void ones too.
    """

    def __init__(self, hold: Hold, plan: Plan) -> None:
        self._hold, self._plan = hold, plan
        self.steps: list[Step] = []

    async def run(self) -> Capacity:
        """Search, and return the capacity.

        Raises:
            VoidStep: a step was void each time that it was tried.
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
        """Return a rate that keeps the SLO, and one at most twice as high that does not; None: there is none."""
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
        """Return the capacity: from `good` less the reserve downwards, the first rate that keeps the SLO for longer."""
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
        """Return a step that keeps the SLO, if one of two does. A clearly overloaded first step is not repeated."""
        step = await self._valid(rate, seconds, seed)
        if step.ok or _is_overloaded(step):
            return step
        return await self._valid(rate, seconds, seed + _REPEAT_SEED)

    async def _valid(self, rate: float, seconds: float, seed: int) -> Step:
        """Return a valid step. A void step says nothing about the rate, so it is tried again."""
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
    """Return whether the server left so much unanswered, for so long, that no disturbance explains it."""
    return bool(step.windows) and all(
        window.answered_rate < OVERLOADED_SHARE * step.offered_rate for window in step.windows[-2:]
    )

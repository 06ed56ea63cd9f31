"""The search for the best setting: one dimension after the other, then the best few against the current setting.

A grid of all combinations would take hours. The search takes the dimensions in the order of their weight: where the
cores go (instances by threads), then the batch, then the delay. Each starts from the best setting so far (coordinate
descent). Every round measures the current setting again, and only values of the same round are compared: a neighbour
who makes the machine slow for a while makes it slow for a whole round.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from asr_loadtest.tuning import evidence
from asr_loadtest.tuning.evidence import Measure, Run
from asr_loadtest.tuning.settings import Setting, Space

FINALISTS = 2  # beside the current setting
# In simulated searches of equal settings, luck looks like a gain in 13 % of the searches with two rounds, and in 2 % of
# those with three.
MIN_ROUNDS, MAX_ROUNDS = 3, 5
# Smaller gains are not worth a change.
MIN_GAIN = 0.02
SCREENING_SHARE = 0.5  # of the budget

# Takes a setting, the measure, the number of the round and the seconds that it may take; returns the run.
MeasureSetting = Callable[[Setting, Measure, int, float], Run]


@dataclass
class Search:
    """One search; `run` may be called once.

    Attributes:
        runs: all runs so far.
    """

    measure: MeasureSetting
    space: Space
    current: Setting
    confirmation: Measure  # by which the finalists are compared
    budget_s: float
    clock: Callable[[], float] = time.monotonic
    runs: list[Run] = field(default_factory=list)
    _round: int = 0

    def run(self) -> tuple[Setting, float, float, str]:
        """Return the best setting, its gain, the noise, and the reason in words."""
        begin_s = self.clock()
        self._screen(begin_s + SCREENING_SHARE * self.budget_s)
        finalists = self._finalists()
        if not finalists:
            return self.current, 0.0, 0.0, "no other setting could be measured: the current one stays"
        confirmed = self._confirm(finalists, begin_s + self.budget_s)
        return self._decide(finalists, confirmed)

    def _screen(self, end_s: float) -> None:
        best = self.current
        dimensions = (self._placements, self._batches, self._delays)
        total = 1 + sum(1 + len(list(dimension(self.current))) for dimension in dimensions)
        seconds = (end_s - self.clock()) / total
        for dimension in dimensions:
            if self.clock() >= end_s:
                return
            options = [setting for setting in dimension(best) if setting not in (best, self.current)]
            if options:
                best = self._descend(best, options, seconds)

    def _descend(self, best: Setting, options: list[Setting], seconds: float) -> Setting:
        """Measure one round over the options of a dimension; return its best if that leads by more than MIN_GAIN."""
        tried = list(dict.fromkeys((self.current, best, *options)))
        self._measure(tried, "saturated", seconds)
        gains = {setting: evidence.compare(self._of_round(), setting, self.current).gain for setting in tried}
        leader = max(gains, key=lambda setting: gains[setting])
        return leader if gains[leader] > gains[best] + MIN_GAIN else best

    def _finalists(self) -> list[Setting]:
        """Return the settings with the largest gains; the one at which the descent ended is among them."""
        settings = {run.setting for run in self.runs if run.value is not None} - {self.current}
        gains = {setting: evidence.compare(self.runs, setting, self.current).gain for setting in sorted(settings)}
        return sorted(gains, key=lambda setting: -gains[setting])[:FINALISTS]

    def _confirm(self, finalists: list[Setting], end_s: float) -> list[Run]:
        """Measure rounds of all finalists and the current setting, in rotating order, while the budget lasts."""
        settings = [self.current, *finalists]
        start, first = len(self.runs), self._round + 1
        seconds = (end_s - self.clock()) / (MIN_ROUNDS * len(settings))
        last_s = 0.0
        for number in range(MAX_ROUNDS):
            begin_s = self.clock()
            if number >= MIN_ROUNDS and begin_s + last_s > end_s:
                break
            shift = number % len(settings)
            self._measure(settings[shift:] + settings[:shift], self.confirmation, seconds)
            last_s = self.clock() - begin_s
        assert self._round >= first
        return self.runs[start:]

    def _decide(self, finalists: list[Setting], confirmed: list[Run]) -> tuple[Setting, float, float, str]:
        compared = [evidence.compare(confirmed, setting, self.current) for setting in finalists]
        noise = max(comparison.spread for comparison in compared)
        best = max(compared, key=lambda comparison: comparison.gain)
        if not best.rounds:
            failures = dict.fromkeys(run.failed for run in confirmed if run.failed)
            return (
                self.current,
                0.0,
                0.0,
                f"no gain could be confirmed, the current setting stays: {'; '.join(failures)}",
            )
        found = (
            f"{best.setting}: {best.gain:+.1%} {evidence.UNITS[self.confirmation]} against {self.current}, better in "
            f"{best.wins} of {best.rounds} rounds; noise {noise:.1%}"
        )
        if best.rounds >= MIN_ROUNDS and best.wins == best.rounds and best.gain > max(noise, MIN_GAIN):
            return best.setting, best.gain, noise, found
        unclear = (
            f"a gain has to exceed the noise and {MIN_GAIN:.0%}, and show in every round: the current setting stays"
        )
        return self.current, 0.0, noise, f"{found}; {unclear}"

    def _measure(self, settings: list[Setting], measure: Measure, seconds: float) -> None:
        self._round += 1
        for setting in settings:
            self.runs.append(self.measure(setting, measure, self._round, seconds))

    def _of_round(self) -> list[Run]:
        return [run for run in self.runs if run.round == self._round]

    def _placements(self, best: Setting) -> Iterator[Setting]:
        return (replace(best, instances=count, threads=threads) for count, threads in self.space.placements())

    def _batches(self, best: Setting) -> Iterator[Setting]:
        return (replace(best, max_batch=size) for size in self.space.max_batches)

    def _delays(self, best: Setting) -> Iterator[Setting]:
        return (replace(best, queue_delay_us=delay) for delay in self.space.queue_delays_us)


def method(search: Search) -> str:
    """Return in a sentence how the search proceeded, for the report."""
    rounds = len({run.round for run in search.runs if run.setting == search.current})
    return (
        "instances by threads, then the batch, then the delay, each from the best setting so far, by the throughput of "
        f"a closed loop; then the best {FINALISTS} against the current setting, by "
        f"{evidence.UNITS[search.confirmation]}, in rotating order; {rounds} rounds in all, each with the current "
        "setting, values compared within rounds."
    )

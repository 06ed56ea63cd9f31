"""The result of a tuning, and the evidence for it."""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from asr_loadtest.report import wording
from asr_loadtest.results import Machine, Profile, Slo
from asr_loadtest.tuning.settings import Setting

SCHEMA = 1  # of tune.json

# "saturated": seconds of audio per second of a closed loop with many callers. "capacity": the highest requests/s that
# keep the SLO.
Measure = Literal["saturated", "capacity"]
UNITS: dict[Measure, str] = {"saturated": "s of audio/s", "capacity": "requests/s within the SLO"}


@dataclass(frozen=True)
class Run:
    """One setting, measured once."""

    setting: Setting
    measure: Measure
    round: int  # a round measures settings directly after each other, the current one among them
    value: float | None  # in the unit of the measure; None: the run failed
    p95_ms: float | None = None
    failed: str | None = None  # why there is no value


@dataclass(frozen=True)
class Comparison:
    """A setting compared with the current one, over the rounds that measured both."""

    setting: Setting
    gain: float  # median over the rounds of (its value / the current one's) - 1
    spread: float  # highest less lowest gain of a round: the noise
    wins: int  # rounds in which it was better
    rounds: int


@dataclass(frozen=True)
class Tuning:
    """All results of a tuning."""

    started_at: str  # ISO 8601, UTC
    command: str
    machine: Machine
    repository: str
    model: str
    profile: Profile
    slo: Slo
    method: str
    current: Setting
    best: Setting  # the current one when no gain exceeds the noise
    gain: float  # of the best over the current one, in the confirmation; 0 when the current one stays
    noise: float  # the largest spread of one setting's gain over the rounds of the confirmation
    reason: str  # why this setting is the best
    runs: tuple[Run, ...]

    @property
    def is_better(self) -> bool:
        """Return whether there is a better setting to apply."""
        return self.best != self.current


def compare(runs: Sequence[Run], setting: Setting, current: Setting) -> Comparison:
    """Compare a setting with the current one by ratios within rounds, which a slow round does not change."""
    values = _by_round(runs, setting)
    base = _by_round(runs, current)
    ratios = [values[number] / base[number] for number in values if base.get(number)]
    if not ratios:
        return Comparison(setting, 0.0, 0.0, 0, 0)
    gain = statistics.median(ratios) - 1
    return Comparison(setting, gain, max(ratios) - min(ratios), sum(ratio > 1 for ratio in ratios), len(ratios))


def to_json(tuning: Tuning) -> str:
    """Return the tuning as JSON."""
    content = {"schema": SCHEMA, "is_better": tuning.is_better, **dataclasses.asdict(tuning)}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def text(tuning: Tuning) -> str:
    """Return a table of all runs in their order, the method and the result."""
    rows = [("measured", "round", "setting", "value", "p95 ms", "against the current")]
    base = {(run.measure, run.round): run.value for run in tuning.runs if run.setting == tuning.current}
    for run in tuning.runs:
        reference = base.get((run.measure, run.round))
        change = f"{run.value / reference - 1:+.1%}" if run.value is not None and reference else wording.NOTHING
        value = wording.NOTHING if run.value is None else f"{wording.rate(run.value)} {UNITS[run.measure]}"
        change = "current" if run.setting == tuning.current and not run.failed else change
        change = f"failed: {wording.clean(run.failed)}" if run.failed else change
        rows.append((run.measure, str(run.round), str(run.setting), value, wording.milliseconds(run.p95_ms), change))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", f"Method: {tuning.method}", f"Result: {tuning.reason}"]) + "\n"


def _by_round(runs: Sequence[Run], setting: Setting) -> dict[int, float]:
    return {run.round: run.value for run in runs if run.setting == setting and run.value is not None}

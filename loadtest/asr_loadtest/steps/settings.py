"""Settings that all steps of a load test share."""

from dataclasses import dataclass, field

from asr_loadtest.results import Arrivals, Slo
from asr_loadtest.steps.validity import LATE_TOLERANCE_MS


@dataclass(frozen=True)
class Settings:
    """The settings of all steps."""

    slo: Slo = field(default_factory=Slo)
    arrivals: Arrivals = "poisson"
    ramp_s: float = 5.0
    late_tolerance_ms: float = LATE_TOLERANCE_MS

"""Runs steps of live streams: first a ramp that no figure counts, then the time that is measured."""

import itertools
import random
from collections.abc import Sequence

from asr_loadtest.recordings import Recording, in_rounds
from asr_loadtest.results import Load, Step
from asr_loadtest.server_view.probes import ServerProbe
from asr_loadtest.steps.runner import StepRunner
from asr_loadtest.steps.settings import Settings
from asr_loadtest.streams import assessment
from asr_loadtest.streams.generator import StreamGenerator
from asr_loadtest.transcripts import Baseline

_ROUNDS = 100  # of all recordings, then the first round again
# Streams begin apart from each other, as those of callers do. Windows that all come at once would be a false burst.
_BEGIN_WITHIN_S = 2.0


class StreamRunner(StepRunner):
    """Runs steps of live streams.

    Args:
        generator: speaks the recordings.
        recordings, baselines, probe, settings: see StepRunner.
    """

    def __init__(
        self,
        generator: StreamGenerator,
        recordings: Sequence[Recording],
        baselines: Sequence[Baseline] | None,
        probe: ServerProbe | None,
        settings: Settings,
    ) -> None:
        super().__init__(recordings, baselines, probe, settings)
        self._generator = generator

    async def hold(self, streams: float, seconds: float, seed: int) -> Step:
        """Hold `streams` (a whole number) for the ramp and `seconds`, and return the step when all have ended."""
        settings = self._settings
        load = Load("streams", streams, None, None, seed, settings.ramp_s, seconds)
        chance = random.Random(f"{seed} begins")
        within_s = min(_BEGIN_WITHIN_S, settings.ramp_s)
        begins = [chance.uniform(0, within_s) for _ in range(round(streams))]
        known = len(self._recordings)
        order = itertools.cycle(in_rounds(_ROUNDS * known, known, seed))
        sessions, observation = await self._watched(
            load, lambda start_s: self._generator.hold(begins, settings.ramp_s + seconds, order, start_s)
        )
        return assessment.assess(
            load,
            sessions,
            observation,
            self._recordings,
            self._baselines,
            settings.slo,
            settings.late_tolerance_ms,
        )

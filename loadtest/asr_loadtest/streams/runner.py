"""One step of live streams: so many at a time, first for a ramp that is thrown away, then for the measured time."""

import asyncio
import itertools
import random
from collections.abc import Sequence

from asr_loadtest.recordings import Recording, in_rounds
from asr_loadtest.results import Load, Step
from asr_loadtest.server_view.probes import ServerProbe
from asr_loadtest.server_view.watch import watch
from asr_loadtest.steps.generator_process import LEAD_S, punctual
from asr_loadtest.steps.settings import Settings
from asr_loadtest.streams import assessment
from asr_loadtest.streams.generator import StreamGenerator
from asr_loadtest.transcripts import Solo

_ROUNDS = 100  # of all recordings, then from the beginning
# Streams begin apart from each other, as callers do: windows that all come at once would be a burst that no one makes.
_BEGIN_WITHIN_S = 2.0


class StreamBench:
    """Holds live streams against a server.

    Args:
        generator: speaks the recordings.
        recordings: what it speaks.
        solos: what is heard of them without load; None: nothing is compared.
        probe: looks at the server meanwhile; None: nobody does.
        settings: of all steps.
    """

    def __init__(
        self,
        generator: StreamGenerator,
        recordings: Sequence[Recording],
        solos: Sequence[Solo] | None,
        probe: ServerProbe | None,
        settings: Settings,
    ) -> None:
        self._generator, self._recordings, self._solos = generator, recordings, solos
        self._probe, self._settings = probe, settings

    async def hold(self, streams: float, seconds: float, seed: int) -> Step:
        """So many streams, a whole number, for the ramp and `seconds`; returns when all have ended."""
        settings = self._settings
        load = Load("streams", streams, None, None, seed, settings.ramp_s, seconds)
        chance = random.Random(f"{seed} begins")
        within_s = min(_BEGIN_WITHIN_S, settings.ramp_s)
        begins = [chance.uniform(0, within_s) for _ in range(round(streams))]
        known = len(self._recordings)
        order = itertools.cycle(in_rounds(_ROUNDS * known, known, seed))
        with punctual():
            start_s = asyncio.get_running_loop().time() + LEAD_S
            watching = asyncio.create_task(watch(self._probe, start_s, load))
            sessions = await self._generator.hold(begins, settings.ramp_s + seconds, order, start_s)
            observation = await watching
        return assessment.assess(
            load,
            sessions,
            observation,
            self._recordings,
            self._solos,
            settings.slo,
            settings.late_tolerance_ms,
        )

"""Runs steps of requests: first a ramp that no figure counts, then the time that is measured."""

import asyncio
from collections.abc import Sequence

from asr_loadtest.recordings import Recording, in_rounds
from asr_loadtest.requests import assessment
from asr_loadtest.requests.arrivals import arrivals
from asr_loadtest.requests.generator import Exchange, Generator
from asr_loadtest.results import Load, Step
from asr_loadtest.server_view.probes import ServerProbe
from asr_loadtest.server_view.watch import Observation
from asr_loadtest.steps.runner import StepRunner
from asr_loadtest.steps.settings import Settings
from asr_loadtest.transcripts import Baseline

_SETTLE_ATTEMPTS = 5
_SETTLE_PAUSE_S = 1.0
_ORDER_LENGTH = 100_000  # of a closed loop, in which nobody knows how many requests there will be


class RequestRunner(StepRunner):
    """Runs steps of requests.

    Args:
        generator: sends the recordings.
        recordings, baselines, probe, settings: see StepRunner.
    """

    def __init__(
        self,
        generator: Generator,
        recordings: Sequence[Recording],
        baselines: Sequence[Baseline] | None,
        probe: ServerProbe | None,
        settings: Settings,
    ) -> None:
        super().__init__(recordings, baselines, probe, settings)
        self._generator = generator

    async def open(self, rate: float, seconds: float, seed: int) -> Step:
        """Offer `rate` requests/s for the ramp and `seconds`, and return the step when all are answered."""
        await self._settle()
        settings = self._settings
        load = Load("open", rate, None, settings.arrivals, seed, settings.ramp_s, seconds)
        # Made separately, so that each of them has exactly its rate.
        ramp = arrivals(settings.arrivals, rate, settings.ramp_s, seed + 1)
        measured = arrivals(settings.arrivals, rate, seconds, seed)
        due = ramp + [settings.ramp_s + at_s for at_s in measured]
        order = in_rounds(len(due), len(self._recordings), seed)
        exchanges, observation = await self._watched(
            load, lambda start_s: self._generator.open_loop(due, order, start_s)
        )
        return self._assess(load, exchanges, observation)

    async def closed(self, callers: int, seconds: float, seed: int, rate: float | None = None) -> Step:
        """Let `callers` send for the ramp and `seconds`, at most at `rate` requests/s in all, and return the step."""
        await self._settle()
        settings = self._settings
        load = Load("closed", rate, callers, None, seed, settings.ramp_s, seconds)
        order = in_rounds(_ORDER_LENGTH, len(self._recordings), seed)
        exchanges, observation = await self._watched(
            load,
            lambda start_s: self._generator.closed_loop(callers, settings.ramp_s + seconds, order, start_s, rate),
        )
        return self._assess(load, exchanges, observation)

    async def _settle(self) -> None:
        """Wait until the server has worked off requests that their callers gave up.

        Such a request may still be in the server's queue, where it would delay the next step. So this sends one more
        request, which gets its answer after those before it. After a few failures the server has another problem, which
        the next step will show.
        """
        for _ in range(_SETTLE_ATTEMPTS):
            (exchange,) = await self._generator.open_loop([0.0], [0], asyncio.get_running_loop().time())
            if exchange.error is None:
                return
            await asyncio.sleep(_SETTLE_PAUSE_S)

    def _assess(self, load: Load, exchanges: Sequence[Exchange], observation: Observation) -> Step:
        settings = self._settings
        return assessment.assess(
            load, exchanges, observation, self._recordings, self._baselines, settings.slo, settings.late_tolerance_ms
        )

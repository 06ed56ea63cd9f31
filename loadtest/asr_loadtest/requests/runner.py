"""One step: a load is held, first for a ramp that is thrown away, then for the time that is measured."""

import asyncio
from collections.abc import Sequence

from asr_loadtest.recordings import Recording, in_rounds
from asr_loadtest.requests import assessment
from asr_loadtest.requests.arrivals import arrivals
from asr_loadtest.requests.generator import Exchange, Generator
from asr_loadtest.results import Load, Step
from asr_loadtest.server_view.probes import ServerProbe
from asr_loadtest.server_view.watch import Observation, watch
from asr_loadtest.steps.generator_process import LEAD_S, punctual
from asr_loadtest.steps.settings import Settings
from asr_loadtest.transcripts import Solo

_SETTLE_ATTEMPTS = 5
_SETTLE_PAUSE_S = 1.0
_ORDER_LENGTH = 100_000  # of a closed loop, in which nobody knows how many requests there will be


class Bench:
    """Holds loads against a server.

    Args:
        generator: sends the recordings.
        recordings: what it sends.
        solos: their transcripts without load; None: answers are not checked.
        probe: looks at the server meanwhile; None: nobody does.
        settings: of all steps.
    """

    def __init__(
        self,
        generator: Generator,
        recordings: Sequence[Recording],
        solos: Sequence[Solo] | None,
        probe: ServerProbe | None,
        settings: Settings,
    ) -> None:
        self._generator, self._recordings, self._solos = generator, recordings, solos
        self._probe, self._settings = probe, settings

    async def _settle(self) -> None:
        """Wait until the server has worked off what earlier callers no longer wait for.

        A request that its caller gave up may still be in the server's queue, and would be in the way of the next step.
        One more request is answered when those before it are; after a few failures the server has other troubles, which
        the next step will show.
        """
        for _ in range(_SETTLE_ATTEMPTS):
            (exchange,) = await self._generator.open_loop([0.0], [0], asyncio.get_running_loop().time())
            if exchange.error is None:
                return
            await asyncio.sleep(_SETTLE_PAUSE_S)

    async def open(self, rate: float, seconds: float, seed: int) -> Step:
        """Offer `rate` requests/s for the ramp and `seconds`; returns when all are answered."""
        await self._settle()
        settings = self._settings
        load = Load("open", rate, None, settings.arrivals, seed, settings.ramp_s, seconds)
        # Apart, so that each of them has exactly its rate.
        ramp = arrivals(settings.arrivals, rate, settings.ramp_s, seed + 1)
        measured = arrivals(settings.arrivals, rate, seconds, seed)
        due = ramp + [settings.ramp_s + at_s for at_s in measured]
        order = in_rounds(len(due), len(self._recordings), seed)
        with punctual():
            start_s = asyncio.get_running_loop().time() + LEAD_S
            watching = asyncio.create_task(watch(self._probe, start_s, load))
            exchanges = await self._generator.open_loop(due, order, start_s)
            observation = await watching
        return self._assess(load, exchanges, observation)

    async def closed(self, callers: int, seconds: float, seed: int, rate: float | None = None) -> Step:
        """Let `callers` send for the ramp and `seconds`, at most at `rate` requests/s in all."""
        await self._settle()
        settings = self._settings
        load = Load("closed", rate, callers, None, seed, settings.ramp_s, seconds)
        order = in_rounds(_ORDER_LENGTH, len(self._recordings), seed)
        with punctual():
            start_s = asyncio.get_running_loop().time() + LEAD_S
            watching = asyncio.create_task(watch(self._probe, start_s, load))
            exchanges = await self._generator.closed_loop(callers, settings.ramp_s + seconds, order, start_s, rate)
            observation = await watching
        return self._assess(load, exchanges, observation)

    def _assess(self, load: Load, exchanges: Sequence[Exchange], observation: Observation) -> Step:
        settings = self._settings
        return assessment.assess(
            load, exchanges, observation, self._recordings, self._solos, settings.slo, settings.late_tolerance_ms
        )

"""One step: a load is held, first for a ramp that is thrown away, then for the time that is measured."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asr_loadtest import assessment, schedule
from asr_loadtest.assessment import Observation
from asr_loadtest.generator import Exchange, Generator, punctual
from asr_loadtest.probes import ServerProbe
from asr_loadtest.recordings import Recording
from asr_loadtest.results import Arrivals, Load, ResourceSample, Slo, Step
from asr_loadtest.transcripts import Solo
from asr_loadtest.validity import LATE_TOLERANCE_MS

_LEAD_S = 0.05  # until the first arrival, so that it is not late
_SAMPLE_INTERVAL_S = 1.0
_MAX_SAMPLES = 600  # of a step: longer ones are sampled less often
_SETTLE_ATTEMPTS = 5
_SETTLE_PAUSE_S = 1.0
_ORDER_LENGTH = 100_000  # of a closed loop, in which nobody knows how many requests there will be


@dataclass(frozen=True)
class Settings:
    """What all steps of a load test have in common."""

    slo: Slo = field(default_factory=Slo)
    arrivals: Arrivals = "poisson"
    ramp_s: float = 5.0
    late_tolerance_ms: float = LATE_TOLERANCE_MS


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
        ramp = schedule.arrivals(settings.arrivals, rate, settings.ramp_s, seed + 1)
        measured = schedule.arrivals(settings.arrivals, rate, seconds, seed)
        arrivals = ramp + [settings.ramp_s + at_s for at_s in measured]
        order = schedule.order(len(arrivals), len(self._recordings), seed)
        with punctual():
            start_s = asyncio.get_running_loop().time() + _LEAD_S
            watch = asyncio.create_task(self._watch(start_s, load))
            exchanges = await self._generator.open_loop(arrivals, order, start_s)
            observation = await watch
        return self._assess(load, exchanges, observation)

    async def closed(self, callers: int, seconds: float, seed: int, rate: float | None = None) -> Step:
        """Let `callers` send for the ramp and `seconds`, at most at `rate` requests/s in all."""
        await self._settle()
        settings = self._settings
        load = Load("closed", rate, callers, None, seed, settings.ramp_s, seconds)
        order = schedule.order(_ORDER_LENGTH, len(self._recordings), seed)
        with punctual():
            start_s = asyncio.get_running_loop().time() + _LEAD_S
            watch = asyncio.create_task(self._watch(start_s, load))
            exchanges = await self._generator.closed_loop(callers, settings.ramp_s + seconds, order, start_s, rate)
            observation = await watch
        return self._assess(load, exchanges, observation)

    def _assess(self, load: Load, exchanges: Sequence[Exchange], observation: Observation) -> Step:
        settings = self._settings
        return assessment.assess(
            load, exchanges, observation, self._recordings, self._solos, settings.slo, settings.late_tolerance_ms
        )

    async def _watch(self, start_s: float, load: Load) -> Observation:
        """Readings at both edges of the measurement, and samples from the ramp to its end."""
        loop = asyncio.get_running_loop()
        begin_s = start_s + load.ramp_s
        samples = asyncio.create_task(self._sample(begin_s, load))
        await asyncio.sleep(begin_s - loop.time())
        before, cpu_before = await self._read(), time.process_time()
        await asyncio.sleep(begin_s + load.measured_s - loop.time())
        cpu_s = time.process_time() - cpu_before
        after = await self._read()
        members = () if self._probe is None else self._probe.difference(before, after)
        return Observation(members, await samples, cpu_s / load.measured_s)

    async def _read(self) -> object:
        return None if self._probe is None else await self._probe.read()

    async def _sample(self, begin_s: float, load: Load) -> tuple[ResourceSample, ...]:
        if self._probe is None:
            return ()
        loop = asyncio.get_running_loop()
        interval_s = max(_SAMPLE_INTERVAL_S, load.measured_s / _MAX_SAMPLES)
        samples = []
        for at_s in np.arange(-load.ramp_s, load.measured_s, interval_s).tolist():
            await asyncio.sleep(max(0.0, begin_s + at_s - loop.time()))
            samples.append(await asyncio.to_thread(self._probe.sample, loop.time() - begin_s))
        return tuple(sample for sample in samples if sample is not None)

"""The watch over a step: the server's counters at the edges of the measurement, and samples of its resources."""

import asyncio
import time
from dataclasses import dataclass

import numpy as np

from asr_loadtest.results import Load, MemberLoad, ResourceSample
from asr_loadtest.server_view.probes import ServerProbe

_SAMPLE_INTERVAL_S = 1.0
_MAX_SAMPLES = 600  # of a step; longer steps are sampled less often


@dataclass(frozen=True)
class Observation:
    """The observations of a step, beside its requests."""

    members: tuple[MemberLoad, ...] = ()  # what the server's models did
    resources: tuple[ResourceSample, ...] = ()  # that its processes used
    cpu_cores: float = 0.0  # processor seconds per second of the generator


async def watch(probe: ServerProbe | None, start_s: float, load: Load) -> Observation:
    """Return what was observed: readings at both edges of the measurement, and samples from the ramp to its end.

    Args:
        probe: watches the server; None: nothing does.
        start_s: start of the ramp, by the clock of the event loop.
        load: has the lengths of the ramp and of the measurement.
    """
    loop = asyncio.get_running_loop()
    begin_s = start_s + load.ramp_s
    samples = asyncio.create_task(_sample(probe, begin_s, load))
    await asyncio.sleep(begin_s - loop.time())
    before, cpu_before = await _read(probe), time.process_time()
    await asyncio.sleep(begin_s + load.measured_s - loop.time())
    cpu_s = time.process_time() - cpu_before
    after = await _read(probe)
    members = () if probe is None else probe.difference(before, after)
    return Observation(members, await samples, cpu_s / load.measured_s)


async def _read(probe: ServerProbe | None) -> object:
    return None if probe is None else await probe.read()


async def _sample(probe: ServerProbe | None, begin_s: float, load: Load) -> tuple[ResourceSample, ...]:
    if probe is None:
        return ()
    loop = asyncio.get_running_loop()
    interval_s = max(_SAMPLE_INTERVAL_S, load.measured_s / _MAX_SAMPLES)
    samples = []
    for at_s in np.arange(-load.ramp_s, load.measured_s, interval_s).tolist():
        await asyncio.sleep(max(0.0, begin_s + at_s - loop.time()))
        samples.append(await asyncio.to_thread(probe.sample, loop.time() - begin_s))
    return tuple(sample for sample in samples if sample is not None)

"""How much is measured, and how the server is set up for it: on a GPU, and in a rehearsal on a CPU."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """The settings of all parts."""

    gpu: int | None  # number of the device; None: the CPU
    max_batch_size: int
    instances: int  # of the acoustic model or of Whisper: while one moves data, the other computes
    preprocess: int  # instances
    decoders: int  # instances of ctc_decode
    processes: int  # of callers, because one in Python cannot send what a GPU transcribes
    callers: int  # in each process
    ramp_s: float  # before each measurement
    seconds: float  # of each measurement
    rate_shares: tuple[float, ...]  # of the throughput: rates at which latency is measured, in an open loop
    streams: tuple[int, ...]  # live streams at a time
    mixed_s: tuple[float, float]  # lengths of recordings of the mix, spread evenly
    equal_s: float  # length of the others
    recordings: int  # of each kind
    part_limit_s: float

    def of(self, part: str) -> dict[str, Any]:
        """Return the settings on which the result of a part depends."""
        settings = asdict(self)
        del settings["part_limit_s"]
        served = {"export": ("gpu", "max_batch_size"), "parity": ("gpu",)}
        return {name: settings[name] for name in served.get(part, settings)}


GPU = Plan(
    gpu=0,
    max_batch_size=32,
    instances=2,
    preprocess=6,
    decoders=3,
    processes=6,
    callers=24,
    ramp_s=4.0,
    seconds=12.0,
    rate_shares=(0.25, 0.5, 0.75),
    streams=(64, 128, 256),
    mixed_s=(1.0, 20.0),
    equal_s=10.0,
    recordings=60,
    part_limit_s=400.0,
)
REHEARSAL = Plan(
    gpu=None,
    max_batch_size=4,
    instances=1,
    preprocess=1,
    decoders=1,
    processes=1,
    callers=2,
    ramp_s=0.2,
    seconds=1.0,
    rate_shares=(0.25,),
    streams=(1,),
    mixed_s=(0.5, 3.0),
    equal_s=2.0,
    recordings=4,
    part_limit_s=120.0,
)

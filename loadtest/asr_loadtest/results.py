"""What a load test finds out: everything that a report shows, and nothing about how it was measured.

Rates are requests per second, latencies milliseconds from the scheduled arrival to the answer, times seconds; where the
load is live streams, see `Step` and `StreamFigures`.
"""

from dataclasses import dataclass
from typing import Literal

Arrivals = Literal["poisson", "constant"]
# "closed": so many callers, each sending its next request when it has its answer; what open-loop figures stand beside.
# "streams": so many live streams at a time, as fast as they are spoken.
Loop = Literal["open", "closed", "streams"]
Kind = Literal["steps", "search", "soak"]  # of load tests


@dataclass(frozen=True)
class Load:
    """What one step offers to the server."""

    loop: Loop
    # Requests/s that are scheduled; of a closed loop the most that it sends, None: all it can. Or live streams.
    rate: float | None
    callers: int | None  # at a time; None in an open loop
    arrivals: Arrivals | None  # how they are spaced; None in a closed loop
    seed: int  # of the arrivals and of the order of recordings
    ramp_s: float  # before the measurement; its requests are in no figure
    measured_s: float  # length of the measurement


@dataclass(frozen=True)
class Slo:
    """What the service has promised; None: not asked about."""

    p95_ms: float | None = None
    p99_ms: float | None = None
    error_rate: float | None = None  # 0 to 1, of all requests
    changed_rate: float | None = None  # 0 to 1, of answers that differ from its recording's baseline

    @property
    def is_empty(self) -> bool:
        """Whether nothing was promised."""
        return self == Slo()


@dataclass(frozen=True)
class Latency:
    """Of the requests that succeeded, in milliseconds; None where there are too few for the figure."""

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None  # from 20 requests
    p99_ms: float | None  # from 1,000 requests
    max_ms: float | None


@dataclass(frozen=True)
class Window:
    """One part of the measurement: a load is held when all of them look alike."""

    start_s: float  # from the start of the measurement
    end_s: float
    latency: Latency
    answered_rate: float  # successes/s


@dataclass(frozen=True)
class MemberLoad:
    """One model of the ensemble over the measurement, from Triton's statistics; times are means per inference."""

    model: str
    inferences: int
    executions: int
    failures: int
    average_batch: float  # inferences per execution; 0 without executions
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float

    @property
    def compute_ms(self) -> float:
        """All but the queue."""
        return self.input_ms + self.infer_ms + self.output_ms


@dataclass(frozen=True)
class ResourceSample:
    """The server's processes at one moment; None where it cannot be read (another machine, no GPU)."""

    at_s: float  # from the start of the measurement; negative during the ramp
    cpu_cores: float | None  # processor seconds per second since the sample before
    memory_bytes: int | None  # proportional set size of all its processes, where readable, else resident set size
    file_descriptors: int | None
    shared_memory_bytes: int | None  # its files in /dev/shm
    gpu_utilization: float | None  # 0 to 1
    gpu_memory_bytes: int | None


@dataclass(frozen=True)
class Generator:
    """How the load generator itself fared: what makes a step void."""

    scheduled: int
    sent: int
    late: int  # sent later after their schedule than the tolerance
    late_tolerance_ms: float
    worst_late_ms: float
    cpu_cores: float  # processor seconds per second of the generator


@dataclass(frozen=True)
class StreamFigures:
    """Of live streams alone; the `latency` of their step is the lag of their partial results."""

    final: Latency  # lag of final results: from the end of the last word
    answer: Latency  # of a piece: from when it was spoken
    pieces: int
    late_pieces: int  # of these, how many had to wait for the answer to the one before


@dataclass(frozen=True)
class Step:
    """One load, held for a while.

    Of live streams, rates are seconds of audio per second, which is how many streams were kept up with, and a request
    is a whole stream.
    """

    load: Load
    offered_rate: float  # scheduled requests/s as they fell, which a Poisson process does not hit exactly
    achieved_rate: float  # requests/s that were answered, errors included
    answered_rate: float  # successes/s
    audio_rate: float  # seconds of audio answered per second (RTFx)
    latency: Latency
    by_class: dict[str, Latency]  # length class -> its latency
    windows: tuple[Window, ...]
    errors: dict[str, int]  # name of the client's error class -> how many
    error_example: str | None  # the words of the first one
    rejected_latency: Latency  # of requests that the server refused as too many (QueueFull)
    requests: int
    checked: int  # answers that were held against its recording's baseline
    changed: int  # of these, how many differ
    wer: float | None  # 0 to 1, under load; None without references
    solo_wer: float | None  # the same of the baselines
    members: tuple[MemberLoad, ...]
    resources: tuple[ResourceSample, ...]
    generator: Generator
    void: tuple[str, ...]  # why this is no result; empty for a valid step
    missed: tuple[str, ...]  # which promises were not kept; empty when kept, or none was made
    streams: StreamFigures | None = None  # None: the load was requests

    @property
    def error_rate(self) -> float:
        """Of all requests, 0 to 1."""
        return sum(self.errors.values()) / self.requests if self.requests else 0.0

    @property
    def ok(self) -> bool:
        """A valid step that kept its promises."""
        return not self.void and not self.missed


@dataclass(frozen=True)
class Capacity:
    """What a search found: the highest rate that kept the SLO, and the lowest that did not."""

    rate: float | None  # requests/s, or live streams; None when even the lowest rate missed it
    audio_rate: float | None  # seconds of audio per second at that rate
    failed_rate: float | None  # None when the highest rate allowed kept it
    tolerance: float  # the two are within this factor of each other, less 1


@dataclass(frozen=True)
class Profile:
    """The recordings that are sent."""

    source: str  # folder or manifest, as it was given
    recordings: int
    audio_s: float
    mean_s: float
    min_s: float
    max_s: float
    classes: dict[str, int]  # length class -> recordings


@dataclass(frozen=True)
class Machine:
    """Where the load generator ran; the server's own machine, too, when the target is on it."""

    cpu: str
    cores: int
    memory_bytes: int
    python: str
    versions: dict[str, str]  # package -> version


@dataclass(frozen=True)
class Target:
    """What was tested."""

    url: str
    protocol: str
    model: str
    members: tuple[str, ...]  # steps of the ensemble, in order
    server: str  # name and version, as the server says
    local: bool  # the server's processes could be watched


@dataclass(frozen=True)
class Report:
    """A whole load test."""

    kind: Kind
    started_at: str  # ISO 8601, UTC
    command: str
    machine: Machine
    target: Target
    profile: Profile
    slo: Slo
    steps: tuple[Step, ...]
    capacity: Capacity | None  # of a search

    @property
    def of_streams(self) -> bool:
        """Whether the load was live streams."""
        return any(step.load.loop == "streams" for step in self.steps)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept: by every step, or, in a search, at some rate."""
        if self.kind == "search":
            return self.capacity is not None and self.capacity.rate is not None
        return all(step.ok for step in self.steps)

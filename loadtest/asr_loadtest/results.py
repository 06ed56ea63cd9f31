"""The results of a load test: everything that a report shows.

Rates are requests per second, latencies milliseconds from the scheduled arrival to the answer, times seconds. For live
streams see `Step` and `StreamFigures`.
"""

from dataclasses import dataclass
from typing import Literal

Arrivals = Literal["poisson", "constant"]
# "open": requests arrive on a schedule. "closed": a number of callers, each of whom waits for the answer before the
# next request; it stands beside an open loop, for comparison. "streams": a number of live streams, as fast as they are
# spoken.
Loop = Literal["open", "closed", "streams"]
Kind = Literal["steps", "search", "soak"]  # of load tests


@dataclass(frozen=True)
class Load:
    """The load that one step offers to the server."""

    loop: Loop
    # Scheduled requests/s, or live streams at a time. Of a closed loop the most requests/s; None: as many as it can.
    rate: float | None
    callers: int | None  # of a closed loop
    arrivals: Arrivals | None  # of an open loop
    seed: int  # of the arrivals and of the order of recordings
    ramp_s: float  # before the measurement; no figure counts its requests
    measured_s: float  # length of the measurement


@dataclass(frozen=True)
class Slo:
    """The promises of the service (its service level objective); None: no such promise."""

    p95_ms: float | None = None
    p99_ms: float | None = None
    error_rate: float | None = None  # 0 to 1, of all requests
    changed_rate: float | None = None  # 0 to 1, of transcripts that differ from the baseline

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is promised."""
        return self == Slo()


@dataclass(frozen=True)
class Latency:
    """Latencies of the requests that succeeded, in milliseconds; None: too few for the figure."""

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None  # from 20 requests
    p99_ms: float | None  # from 1,000 requests
    max_ms: float | None


@dataclass(frozen=True)
class Window:
    """One part of a measurement. A server carries a load when all parts look alike."""

    start_s: float  # from the start of the measurement
    end_s: float
    latency: Latency
    answered_rate: float  # successes/s


@dataclass(frozen=True)
class MemberLoad:
    """The work of one model of the ensemble in a measurement, by Triton's statistics; times are means per inference."""

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
        """Return the time of an inference without the queue."""
        return self.input_ms + self.infer_ms + self.output_ms


@dataclass(frozen=True)
class ResourceSample:
    """The resources that the server takes at one moment; None: it cannot be read (another machine, no GPU)."""

    at_s: float  # from the start of the measurement; negative during the ramp
    cpu_cores: float | None  # processor seconds per second since the sample before
    memory_bytes: int | None  # proportional set size of all processes; resident set size where that is not readable
    file_descriptors: int | None
    shared_memory_bytes: int | None  # files in /dev/shm
    gpu_utilization: float | None  # 0 to 1
    gpu_memory_bytes: int | None


@dataclass(frozen=True)
class Generator:
    """The record of the load generator. A generator that is not punctual makes a step void."""

    scheduled: int
    sent: int
    late: int  # sent after their scheduled time by more than the tolerance
    late_tolerance_ms: float
    worst_late_ms: float
    cpu_cores: float  # processor seconds per second of the generator


@dataclass(frozen=True)
class StreamFigures:
    """Further figures of live streams; the `latency` of their step is the lag of partial results."""

    final: Latency  # lag of final results, from the end of the last word
    answer: Latency  # of a piece, from when it was spoken
    pieces: int
    late_pieces: int  # pieces that had to wait for the answer to the one before


@dataclass(frozen=True)
class Step:
    """One load, held for a while.

    Of live streams, rates are seconds of audio per second, which is the number of streams that the server kept up with.
    A request is a whole stream.
    """

    load: Load
    offered_rate: float  # requests/s that were scheduled in the measured time
    achieved_rate: float  # requests/s that were answered or failed
    answered_rate: float  # successes/s
    audio_rate: float  # seconds of audio answered per second (RTFx)
    latency: Latency
    by_class: dict[str, Latency]  # length class -> its latency
    windows: tuple[Window, ...]
    errors: dict[str, int]  # name of the client's error class -> how many
    error_example: str | None  # message of the first one
    rejected_latency: Latency  # of requests that the server refused, because it had too many (QueueFull)
    requests: int
    checked: int  # answers that were compared with the baseline
    changed: int  # answers that differ from it
    wer: float | None  # 0 to 1, under load; None without references
    solo_wer: float | None  # 0 to 1, without load: of the baselines; None without references
    members: tuple[MemberLoad, ...]
    resources: tuple[ResourceSample, ...]
    generator: Generator
    void: tuple[str, ...]  # reasons for which the step is no result; empty for a valid step
    missed: tuple[str, ...]  # promises that were not kept
    streams: StreamFigures | None = None  # None: the load was requests

    @property
    def error_rate(self) -> float:
        """Return the share of the requests that failed, 0 to 1."""
        return sum(self.errors.values()) / self.requests if self.requests else 0.0

    @property
    def ok(self) -> bool:
        """Return whether the step is valid and kept its promises."""
        return not self.void and not self.missed


@dataclass(frozen=True)
class Capacity:
    """The result of a search: the highest rate that kept the SLO, and the lowest that did not."""

    rate: float | None  # requests/s, or live streams; None: even the lowest rate missed the SLO
    audio_rate: float | None  # seconds of audio per second at that rate
    failed_rate: float | None  # None: the highest rate that was allowed kept the SLO
    tolerance: float  # failed_rate / rate - 1; that of the search where one of them is None


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
    """The machine of the load generator, and of the server when that is on it."""

    cpu: str
    cores: int
    memory_bytes: int
    python: str
    versions: dict[str, str]  # package -> version


@dataclass(frozen=True)
class Target:
    """The server and the model that were tested."""

    url: str
    protocol: str
    model: str
    members: tuple[str, ...]  # steps of the ensemble, in order
    server: str  # name and version, as the server gives them
    local: bool  # the server's processes are on this machine, and were watched


@dataclass(frozen=True)
class Report:
    """All results of a load test."""

    kind: Kind
    started_at: str  # ISO 8601, UTC
    command: str
    machine: Machine
    target: Target
    profile: Profile
    slo: Slo
    steps: tuple[Step, ...]
    capacity: Capacity | None  # of a search; None: it found none

    @property
    def of_streams(self) -> bool:
        """Return whether the loads are live streams."""
        return any(step.load.loop == "streams" for step in self.steps)

    @property
    def ok(self) -> bool:
        """Return whether every step kept every promise; of a search, whether some rate did."""
        if self.kind == "search":
            return self.capacity is not None and self.capacity.rate is not None
        return all(step.ok for step in self.steps)

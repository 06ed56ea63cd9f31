"""A whole load test: solo transcripts, then one step after the other, then the report."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from asr_client import RetryPolicy, Transcription
from asr_client.commands.connection import Connection

from asr_loadtest import environment, generator_process, recordings, transcripts, validity
from asr_loadtest.capacity import RESERVE, TOLERANCE, CapacitySearch, Plan
from asr_loadtest.errors import VoidStep
from asr_loadtest.generator import Generator, RequestHook
from asr_loadtest.measurement import Bench, Settings
from asr_loadtest.probes import TritonProbe
from asr_loadtest.recordings import Recording
from asr_loadtest.resources import Resources
from asr_loadtest.results import Capacity, Report, Step, Target
from asr_loadtest.transcripts import Solo
from asr_loadtest.triton_statistics import MemberStatistics

# What fails has failed: a second attempt would be load that no schedule knows of, and would hide the first.
NO_RETRIES = RetryPolicy(max_attempts=1)


@dataclass(frozen=True)
class Course:
    """Which loads are held."""

    kind: Literal["steps", "search", "soak"]
    rates: tuple[float, ...] = ()  # requests/s; one of a soak, none of a search
    duration_s: float = 20.0  # measured time of a step
    callers: int | None = None  # of the closed loop beside each rate, or, without rates, of the only step
    max_rate: float = 1_000.0  # of a search
    tolerance: float = TOLERANCE  # of a search
    reserve: float = RESERVE  # of a search
    seed: int = 0


class Progress:
    """What is told of a load test while it runs; this one keeps it to itself."""

    def solo(self, done: int, total: int) -> None:
        """A recording was transcribed without load."""

    async def hold(self, title: str, seconds: float, step: Awaitable[Step]) -> Step:
        """Wait for a step, which lasts `seconds` and until its last answer."""
        return await step


@dataclass(frozen=True)
class Trial:
    """What is tested, how, and whom to tell."""

    connection: Connection
    source: str  # of the recordings, as it was given
    recordings: Sequence[Recording]
    settings: Settings
    course: Course
    check: bool = True  # hold answers against the solo transcripts
    metrics_url: str | None = None  # where the server's GPUs are asked for
    command: str = ""  # that started this
    hook: RequestHook | None = None  # told of every request
    progress: "Progress" = field(default_factory=lambda: Progress())


@dataclass(frozen=True)
class _Findings:
    steps: tuple[Step, ...]
    capacity: Capacity | None = None


async def run(trial: Trial) -> Report:
    """Run the load test in this event loop.

    A search that met void steps has neither a capacity nor a rate in its report.

    Raises:
        NotReady: a recording gets no transcript without load.
        AsrError: the server does not answer, or the model is not there.
    """
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    connection = trial.connection
    generator_process.prepare()
    async with (
        connection.async_client(NO_RETRIES) as client,
        MemberStatistics(
            connection.address,
            connection.protocol,
            connection.model,
            tls=connection.security,
            headers=connection.header_fields,
        ) as statistics,
    ):
        await client.check_model()

        async def send(recording: Recording) -> Transcription:
            return await client.transcribe(recording.audio)

        known, solos = await transcripts.solo_pass(send, trial.recordings, trial.progress.solo)
        watched = Resources(connection.address, trial.metrics_url)
        bench = Bench(
            Generator(send, known, connection.protocol, trial.hook),
            known,
            solos if trial.check else None,
            TritonProbe(statistics, watched),
            trial.settings,
        )
        findings = await _follow(trial, bench, solos)
        target = Target(
            url=connection.address,
            protocol=connection.protocol,
            model=connection.model,
            members=await statistics.members(),
            server=await statistics.server(),
            local=watched.local,
        )
    return Report(
        kind=trial.course.kind,
        started_at=started_at,
        command=trial.command,
        machine=environment.machine(),
        target=target,
        profile=recordings.profile(trial.source, known),
        slo=trial.settings.slo,
        steps=findings.steps,
        capacity=findings.capacity,
    )


async def _follow(trial: Trial, bench: Bench, solos: Sequence[Solo]) -> _Findings:
    course, progress, ramp_s = trial.course, trial.progress, trial.settings.ramp_s

    async def hold(rate: float, seconds: float, seed: int) -> Step:
        return await progress.hold(f"{rate:g}/s", ramp_s + seconds, bench.open(rate, seconds, seed))

    async def beside(rate: float | None) -> tuple[Step, ...]:
        if course.callers is None:
            return ()
        step = bench.closed(course.callers, course.duration_s, course.seed, rate)
        return (await progress.hold(f"{course.callers} callers", ramp_s + course.duration_s, step),)

    if course.kind == "search":
        search = CapacitySearch(hold, _plan(trial, solos))
        try:
            capacity: Capacity | None = await search.run()
        except VoidStep:
            capacity = None  # the void steps, which come last, say why
        rate = None if capacity is None else capacity.rate
        return _Findings((*search.steps, *(() if rate is None else await beside(rate))), capacity)
    steps: list[Step] = []
    for rate in course.rates:
        steps += (await hold(rate, course.duration_s, course.seed), *await beside(rate))
    return _Findings(tuple(steps) if course.rates else await beside(None))


def _plan(trial: Trial, solos: Sequence[Solo]) -> Plan:
    course = trial.course
    return Plan(
        # What one caller alone gets.
        start_rate=len(solos) / sum(solo.latency_s for solo in solos),
        max_rate=course.max_rate,
        tolerance=course.tolerance,
        reserve=course.reserve,
        step_s=course.duration_s,
        needed_requests=validity.needed_requests(trial.settings.slo),
        seed=course.seed,
    )

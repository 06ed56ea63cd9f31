"""A whole load test: solo transcripts, then one step after the other, then the report."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from asr_client import AsyncClient, RetryPolicy, StreamResult, Transcription
from asr_client._live import STREAM_SUFFIX
from asr_client.commands.connection import Connection

from asr_loadtest import recordings, transcripts
from asr_loadtest.capacity import RESERVE, TOLERANCE, CapacitySearch, Hold, Plan
from asr_loadtest.errors import VoidStep
from asr_loadtest.recordings import Recording
from asr_loadtest.report import environment
from asr_loadtest.requests.generator import Generator, RequestHook
from asr_loadtest.requests.runner import Bench
from asr_loadtest.results import Capacity, Report, Step, Target
from asr_loadtest.server_view.probes import TritonProbe
from asr_loadtest.server_view.resources import Resources
from asr_loadtest.server_view.triton_statistics import MemberStatistics
from asr_loadtest.steps import generator_process, validity
from asr_loadtest.steps.settings import Settings
from asr_loadtest.streams.generator import StreamGenerator
from asr_loadtest.streams.playback import Pace, Script, scripts
from asr_loadtest.streams.runner import StreamBench
from asr_loadtest.transcripts import Solo

# What fails has failed: a second attempt would be load that no schedule knows of, and would hide the first.
NO_RETRIES = RetryPolicy(max_attempts=1)
_FIRST_STREAMS = 4.0  # of a search


@dataclass(frozen=True)
class Course:
    """Which loads are held."""

    kind: Literal["steps", "search", "soak"]
    rates: tuple[float, ...] = ()  # requests/s, or live streams; one of a soak, none of a search
    duration_s: float = 20.0  # measured time of a step
    callers: int | None = None  # of the closed loop beside each rate, or, without rates, of the only step
    max_rate: float = 1_000.0  # of a search
    tolerance: float = TOLERANCE  # of a search
    reserve: float = RESERVE  # of a search
    seed: int = 0
    of_streams: bool = False  # loads are numbers of live streams


class Progress:
    """What is told of a load test while it runs; this one keeps it to itself."""

    def solo(self, done: int, total: int) -> None:
        """A recording was transcribed without load."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

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
    hook: RequestHook | None = None  # told of every request; not of live streams
    progress: "Progress" = field(default_factory=lambda: Progress())


@dataclass(frozen=True)
class _Findings:
    steps: tuple[Step, ...]
    capacity: Capacity | None = None


@dataclass(frozen=True)
class _Service:
    """The server, known and ready to be put under load."""

    recordings: Sequence[Recording]  # with their lengths
    solos: Sequence[Solo]
    hold: Hold
    closed: Bench | None  # None: there is no closed loop


async def run(trial: Trial) -> Report:
    """Run the load test in this event loop.

    A search that met void steps has neither a capacity nor a rate in its report.

    Raises:
        NotReady: a recording gets no transcript without load, or the server's model for live streams is not known.
        InvalidProfile: no recording can be sent as a live stream.
        AsrError: the server does not answer, or the model is not there.
    """
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    connection = trial.connection
    model = connection.model + (STREAM_SUFFIX if trial.course.of_streams else "")
    generator_process.prepare()
    async with (
        connection.async_client(NO_RETRIES) as client,
        MemberStatistics(
            connection.address,
            connection.protocol,
            model,
            tls=connection.security,
            headers=connection.header_fields,
        ) as statistics,
    ):
        await client.check_model()
        watched = Resources(connection.address, trial.metrics_url)
        probe = TritonProbe(statistics, watched)
        if trial.course.of_streams:
            service = await _stream_service(trial, client, probe, Pace.of(await statistics.parameters()))
        else:
            service = await _request_service(trial, client, probe)
        findings = await _follow(trial, service)
        target = Target(
            url=connection.address,
            protocol=connection.protocol,
            model=model,
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
        profile=recordings.profile(trial.source, service.recordings),
        slo=trial.settings.slo,
        steps=findings.steps,
        capacity=findings.capacity,
    )


async def _request_service(trial: Trial, client: AsyncClient, probe: TritonProbe) -> _Service:
    async def send(recording: Recording) -> Transcription:
        return await client.transcribe(recording.audio)

    known, solos = await transcripts.solo_pass(send, trial.recordings, trial.progress.solo)
    bench = Bench(
        Generator(send, known, trial.connection.protocol, trial.hook),
        known,
        solos if trial.check else None,
        probe,
        trial.settings,
    )
    return _Service(known, solos, bench.open, bench)


async def _stream_service(trial: Trial, client: AsyncClient, probe: TritonProbe, pace: Pace) -> _Service:
    script_of = dict(scripts(trial.recordings, pace))
    if left_out := [recording.name for recording in trial.recordings if recording not in script_of]:
        trial.progress.note(f"left out, because only the server can read them: {', '.join(left_out)}")

    def stream(chunks: AsyncIterator[bytes], script: Script) -> AsyncIterator[StreamResult]:
        return client.stream(chunks, sampling_rate=script.sampling_rate, channels=script.channels)

    async def send(recording: Recording) -> Transcription:
        """The stream as fast as it is answered, which gives the same results."""
        script = script_of[recording]
        texts = [result.text async for result in stream(_at_once(script), script) if result.is_final]
        return Transcription(" ".join(texts), 0.0, script.seconds)

    known, solos = await transcripts.solo_pass(send, [*script_of], trial.progress.solo)
    generator = StreamGenerator(stream, [*script_of.values()], pace)
    bench = StreamBench(generator, known, solos if trial.check else None, probe, trial.settings)
    return _Service(known, solos, bench.hold, None)


async def _at_once(script: Script) -> AsyncIterator[bytes]:
    for _, piece in script.pieces():
        yield piece


async def _follow(trial: Trial, service: _Service) -> _Findings:
    course, progress, ramp_s = trial.course, trial.progress, trial.settings.ramp_s

    async def hold(rate: float, seconds: float, seed: int) -> Step:
        title = f"{rate:g} streams" if course.of_streams else f"{rate:g}/s"
        return await progress.hold(title, ramp_s + seconds, service.hold(rate, seconds, seed))

    async def beside(rate: float | None) -> tuple[Step, ...]:
        if course.callers is None or service.closed is None:
            return ()
        step = service.closed.closed(course.callers, course.duration_s, course.seed, rate)
        return (await progress.hold(f"{course.callers} callers", ramp_s + course.duration_s, step),)

    if course.kind == "search":
        search = CapacitySearch(hold, _plan(trial, service.solos))
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
    if course.of_streams:
        return Plan(
            start_rate=_FIRST_STREAMS,
            max_rate=max(1.0, course.max_rate // 1),
            tolerance=course.tolerance,
            reserve=course.reserve,
            step_s=course.duration_s,
            step_requests=0,
            seed=course.seed,
            whole=True,
        )
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

"""A whole load test: the baselines, then one step after the other, then the report."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asr_client import StreamResult, Transcription
from asr_client.commands.connection import Connection
from asr_contract.names import STREAM_SUFFIX

from asr_loadtest import recordings, transcripts, under_test
from asr_loadtest.capacity import CapacitySearch, Hold, Plan
from asr_loadtest.errors import VoidStep
from asr_loadtest.openai.endpoint import Endpoint
from asr_loadtest.recordings import Recording
from asr_loadtest.report import environment
from asr_loadtest.requests.generator import Generator, RequestHook
from asr_loadtest.requests.runner import RequestRunner
from asr_loadtest.results import Capacity, Report, Step
from asr_loadtest.schedule import Schedule
from asr_loadtest.steps import generator_process, validity
from asr_loadtest.steps.settings import Settings
from asr_loadtest.streams.generator import StreamGenerator
from asr_loadtest.streams.playback import Pace, Script, scripts
from asr_loadtest.streams.runner import StreamRunner
from asr_loadtest.transcripts import Baseline
from asr_loadtest.under_test import Triton, UnderTest

_FIRST_STREAMS = 4.0  # of a search


class Progress:
    """Takes the progress of a load test. This class ignores it; a subclass shows it."""

    def baseline(self, done: int, total: int) -> None:
        """Take note that `done` of `total` recordings were transcribed without load."""

    def note(self, text: str) -> None:
        """Take a note for the person who runs the load test."""

    async def hold(self, title: str, seconds: float, step: Awaitable[Step]) -> Step:
        """Return the step, which takes `seconds` and then the time until its last answer."""
        return await step


@dataclass(frozen=True)
class LoadTest:
    """Everything that a load test needs to know."""

    connection: Connection | Endpoint  # to Triton, or to a service that speaks OpenAI's protocol; that takes no streams
    source: str  # folder or manifest of the recordings, as it was given
    recordings: Sequence[Recording]
    settings: Settings
    schedule: Schedule
    check: bool = True  # compare answers with the baselines
    metrics_url: str | None = None  # where the server gives the metrics of its GPUs
    command: str = ""  # that started the load test
    hook: RequestHook | None = None  # is called for every request, but not for live streams
    progress: "Progress" = field(default_factory=lambda: Progress())


@dataclass(frozen=True)
class _Findings:
    steps: tuple[Step, ...]
    capacity: Capacity | None = None


@dataclass(frozen=True)
class _Service:
    """A server that is ready to be put under load."""

    under_test: UnderTest
    recordings: Sequence[Recording]  # all with their lengths
    baselines: Sequence[Baseline]
    hold: Hold
    closed: RequestRunner | None  # None: there is no closed loop


async def run(load_test: LoadTest) -> Report:
    """Run the load test in this event loop, and return its report.

    The report of a search that ended with void steps has no capacity.

    Raises:
        NotReady: a recording gets no transcript without load, or the model for live streams is of an unknown kind.
        InvalidProfile: no recording can be sent as a live stream.
        AsrError: the server does not answer, or the model is not there.
    """
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    generator_process.prepare()
    async with _opened(load_test) as service:
        findings = await _follow(load_test, service)
        target = await service.under_test.target()
    return Report(
        kind=load_test.schedule.kind,
        started_at=started_at,
        command=load_test.command,
        machine=environment.machine(),
        target=target,
        profile=recordings.profile(load_test.source, service.recordings),
        slo=load_test.settings.slo,
        steps=findings.steps,
        capacity=findings.capacity,
    )


@asynccontextmanager
async def _opened(load_test: LoadTest) -> AsyncIterator[_Service]:
    connection = load_test.connection
    if isinstance(connection, Endpoint):
        async with under_test.openai_service(connection) as service:
            yield await _request_service(load_test, service)
        return
    of_streams = load_test.schedule.of_streams
    model = connection.model + (STREAM_SUFFIX if of_streams else "")
    async with under_test.triton(connection, model, load_test.metrics_url) as triton:
        yield await (_stream_service if of_streams else _request_service)(load_test, triton)


async def _request_service(load_test: LoadTest, server: UnderTest) -> _Service:
    send = server.transcribe
    known, baselines = await transcripts.take_baselines(send, load_test.recordings, load_test.progress.baseline)
    runner = RequestRunner(
        Generator(send, known, load_test.connection.protocol, load_test.hook),
        known,
        baselines if load_test.check else None,
        server.probe,
        load_test.settings,
    )
    return _Service(server, known, baselines, runner.open, runner)


async def _stream_service(load_test: LoadTest, server: Triton) -> _Service:
    pace = Pace.of(await server.statistics.parameters())
    script_of = dict(scripts(load_test.recordings, pace))
    if left_out := [recording.name for recording in load_test.recordings if recording not in script_of]:
        load_test.progress.note(f"left out, because only the server can read them: {', '.join(left_out)}")

    def stream(chunks: AsyncIterator[bytes], script: Script) -> AsyncIterator[StreamResult]:
        return server.client.stream(chunks, sampling_rate=script.sampling_rate, channels=script.channels)

    async def send(recording: Recording) -> Transcription:
        """Stream the recording as fast as it is answered, which gives the same results."""
        script = script_of[recording]
        texts = [result.text async for result in stream(_at_once(script), script) if result.is_final]
        return Transcription(" ".join(texts), 0.0, script.seconds)

    known, baselines = await transcripts.take_baselines(send, [*script_of], load_test.progress.baseline)
    generator = StreamGenerator(stream, [*script_of.values()], pace)
    runner = StreamRunner(generator, known, baselines if load_test.check else None, server.probe, load_test.settings)
    return _Service(server, known, baselines, runner.hold, None)


async def _at_once(script: Script) -> AsyncIterator[bytes]:
    for _, piece in script.pieces():
        yield piece


async def _follow(load_test: LoadTest, service: _Service) -> _Findings:
    schedule, progress, ramp_s = load_test.schedule, load_test.progress, load_test.settings.ramp_s

    async def hold(rate: float, seconds: float, seed: int) -> Step:
        title = f"{rate:g} streams" if schedule.of_streams else f"{rate:g}/s"
        return await progress.hold(title, ramp_s + seconds, service.hold(rate, seconds, seed))

    async def beside(rate: float | None) -> tuple[Step, ...]:
        if schedule.callers is None or service.closed is None:
            return ()
        step = service.closed.closed(schedule.callers, schedule.duration_s, schedule.seed, rate)
        return (await progress.hold(f"{schedule.callers} callers", ramp_s + schedule.duration_s, step),)

    if schedule.kind == "search":
        search = CapacitySearch(hold, _plan(load_test, service.baselines))
        try:
            capacity: Capacity | None = await search.run()
        except VoidStep:
            capacity = None  # the last steps, which are void, say why
        rate = None if capacity is None else capacity.rate
        return _Findings((*search.steps, *(() if rate is None else await beside(rate))), capacity)
    steps: list[Step] = []
    for rate in schedule.rates:
        steps += (await hold(rate, schedule.duration_s, schedule.seed), *await beside(rate))
    return _Findings(tuple(steps) if schedule.rates else await beside(None))


def _plan(load_test: LoadTest, baselines: Sequence[Baseline]) -> Plan:
    schedule = load_test.schedule
    if schedule.of_streams:
        return Plan(
            start_rate=_FIRST_STREAMS,
            max_rate=max(1.0, schedule.max_rate // 1),
            tolerance=schedule.tolerance,
            reserve=schedule.reserve,
            step_s=schedule.duration_s,
            step_requests=0,
            seed=schedule.seed,
            whole=True,
        )
    return Plan(
        # What a single caller gets.
        start_rate=len(baselines) / sum(baseline.latency_s for baseline in baselines),
        max_rate=schedule.max_rate,
        tolerance=schedule.tolerance,
        reserve=schedule.reserve,
        step_s=schedule.duration_s,
        needed_requests=validity.needed_requests(load_test.settings.slo),
        seed=schedule.seed,
    )

"""The workshop: it measures settings one after the other, each on a server of its own with a copy of the repository."""

import asyncio
import os
import shutil
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from asr_client import AsrError
from asr_client.commands.connection import Connection
from asr_server import TritonServer, TritonServerError

from asr_loadtest.errors import LoadTestError
from asr_loadtest.loadtest import LoadTest, run
from asr_loadtest.recordings import Recording
from asr_loadtest.results import Report, Slo, Step
from asr_loadtest.schedule import Schedule
from asr_loadtest.steps.settings import Settings
from asr_loadtest.steps.validity import LATE_TOLERANCE_MS
from asr_loadtest.tuning.evidence import Measure, Run
from asr_loadtest.tuning.settings import ModelFolders, Setting, link_copy, write_configs

RAMP_S = 2.0
MIN_STEP_S = 3.0
TIMEOUT_S = 60.0
# The bracket, the bisection and the longer confirmation of a search take about so many steps.
STEPS_OF_A_SEARCH = 12
TOLERANCE = 0.03  # of a search; it is finer than the gains that tuning looks for
# A setting is no alternative, however quick, when more than this share of its requests fail, or change transcripts.
MAX_BAD_SHARE = 0.01
LATE_SHARE_OF_SLO = 0.05
FAILURE_WIDTH = 160  # characters of a failure that are kept


@dataclass(frozen=True)
class Load:
    """The load that settings are measured by."""

    source: str  # folder or manifest of the recordings, as it was given
    recordings: Sequence[Recording]
    slo: Slo
    callers: int  # of the closed loop
    seed: int


class Workshop:
    """Measures settings on a copy of a repository, which is removed after the `with` block.

    Args:
        repository: is tuned; it is only read.
        folders: its models.
        load: is sent to every setting.
        tell: is called with a line after each run.
    """

    def __init__(
        self, repository: Path, folders: ModelFolders, load: Load, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        self._repository, self._folders, self._load, self._tell = repository, folders, load, tell
        self._overhead_s = 8.0  # for the start of a server and the baselines; the first run measures it
        self._niceness = os.getpriority(os.PRIO_PROCESS, 0)
        self.last: Report | None = None  # of the load test that ended last

    def __enter__(self) -> "Workshop":
        self._scratch = _scratch(self._repository)
        self._copy = self._scratch / "models"
        link_copy(self._repository, self._copy)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def measure(self, setting: Setting, measure: Measure, number: int, seconds: float) -> Run:
        """Measure a setting in about `seconds`, or as long as it needs; `number` is that of the round."""
        begin_s = time.monotonic()
        run = self._run(setting, measure, number, max(MIN_STEP_S, seconds - self._overhead_s))
        found = run.failed or f"{run.value:.4g}"
        self._tell(f"round {number}, {measure}, {setting}: {found} ({time.monotonic() - begin_s:.0f} s)")
        return run

    def _run(self, setting: Setting, measure: Measure, number: int, seconds: float) -> Run:
        begin_s = time.monotonic()
        try:
            report = self._report(setting, _schedule(measure, seconds, self._load), measure)
        except (AsrError, LoadTestError, TritonServerError) as error:
            return Run(
                setting, measure, number, None, failed=textwrap.shorten(str(error), FAILURE_WIDTH, placeholder=" …")
            )
        loaded_s = sum(step.load.ramp_s + step.load.measured_s for step in report.steps)
        self._overhead_s = time.monotonic() - begin_s - loaded_s
        self.last = report
        return (
            _saturated(report.steps[0], setting, number)
            if measure == "saturated"
            else _capacity(report, setting, number)
        )

    def _report(self, setting: Setting, schedule: Schedule, measure: Measure) -> Report:
        originals = {
            model: (self._repository / model / "config.pbtxt").read_text(encoding="utf-8")
            for model in (self._folders.acoustic, self._folders.ensemble)
        }
        write_configs(self._copy, {**originals, **self._folders.configs(setting)})
        # A load test raises the priority of its process, and the next server would inherit it.
        os.setpriority(os.PRIO_PROCESS, 0, self._niceness)
        with TritonServer(self._copy, http_port=0, grpc_port=0, metrics_port=0, log=lambda line: None) as server:
            url, model = server.grpc_url, self._folders.ensemble
            load_test = LoadTest(
                connection=Connection(urls=[url], model=model, timeout_s=TIMEOUT_S),
                source=self._load.source,
                recordings=self._load.recordings,
                settings=_settings(measure, self._load.slo),
                schedule=schedule,
            )
            return asyncio.run(run(load_test))


def _settings(measure: Measure, slo: Slo) -> Settings:
    if measure == "saturated":
        return Settings(ramp_s=RAMP_S)
    # Lateness counts into latency. Compared with the promise, a little of it does not decide between two settings.
    tolerance_ms = max(LATE_TOLERANCE_MS, LATE_SHARE_OF_SLO * (slo.p95_ms or 0.0))
    return Settings(slo, ramp_s=RAMP_S, late_tolerance_ms=tolerance_ms)


def _schedule(measure: Measure, seconds: float, load: Load) -> Schedule:
    if measure == "saturated":
        return Schedule("steps", (), max(MIN_STEP_S, seconds - RAMP_S), load.callers, seed=load.seed)
    step_s = max(MIN_STEP_S, seconds / STEPS_OF_A_SEARCH - RAMP_S)
    return Schedule("search", (), step_s, tolerance=TOLERANCE, seed=load.seed)


def _saturated(step: Step, setting: Setting, number: int) -> Run:
    failed = None
    if step.void:
        failed = f"void: {'; '.join(step.void)}"
    elif step.error_rate > MAX_BAD_SHARE:
        failed = f"{step.error_rate:.1%} errors: {step.error_example}"
    elif step.changed > MAX_BAD_SHARE * step.checked:
        failed = f"{step.changed} of {step.checked} transcripts changed under load"
    value = None if failed else step.audio_rate
    return Run(setting, "saturated", number, value, step.latency.p95_ms, failed)


def _capacity(report: Report, setting: Setting, number: int) -> Run:
    found = report.capacity
    if found is None:
        reasons = "; ".join(report.steps[-1].void) if report.steps else ""
        return Run(setting, "capacity", number, None, failed=f"the search ended with a void step: {reasons}")
    if found.rate is None:
        return Run(setting, "capacity", number, None, failed="no rate kept the SLO")
    held = next(step for step in reversed(report.steps) if step.load.rate == found.rate and step.ok)
    return Run(setting, "capacity", number, found.rate, held.latency.p95_ms)


def _scratch(repository: Path) -> Path:
    """Return a new folder, beside the repository where possible: there, weights need no second copy on the disk."""
    try:
        return Path(tempfile.mkdtemp(prefix=".tune-", dir=repository.absolute().parent))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="triton-asr-tune-"))

"""Reading Triton's log: what is shown, what is kept, and what it says about a failed start."""

import io
import os
import threading
from pathlib import Path

import processes
import pytest
from asr_server import RepositoryError, ServerDiedError
from asr_server.log import LogReader, model_failures, says_port_taken, to_stderr
from asr_server.server import start_failure

# Lines of tritonserver 2.51.0.
HARMLESS = [
    'W1123 05:35:59.170080 8177 pinned_memory_manager.cc:170] "failed to allocate pinned system memory: no pool, "',
    'E1123 05:35:59.170080 8177 ensemble_scheduler.cc:1468] "unable to create stream for asr: CUDA driver version is '
    'insufficient for CUDA runtime version"',
    'W1123 05:35:59.170081 8177 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory, pinned memory '
    'pool will not be available: CUDA driver version is insufficient for CUDA runtime version"',
    'I1123 05:35:59.170193 8177 cuda_memory_manager.cc:117] "CUDA memory pool disabled"',
    'E1123 05:35:59.170362 8177 server.cc:241] "CudaDriverHelper has not been initialized."',
    "Error: Failed to initialize NVML",
    'W1123 05:36:00.556562 8177 metrics.cc:798] "DCGM unable to start: DCGM initialization error"',
]
LOADING = 'I1123 05:35:59.171853 8177 model_lifecycle.cc:472] "loading: echo:1"'


def read(lines: list[str], show_harmless: bool = False) -> tuple[list[str], list[str]]:
    """Return the lines that are passed on and those that are kept."""
    passed_on: list[str] = []
    reader = LogReader(io.BytesIO("\n".join(lines).encode()), passed_on.append, show_harmless=show_harmless)
    reader.join(5)
    return passed_on, reader.lines


def test_harmless_warnings_are_kept_but_not_shown() -> None:
    passed_on, kept = read([*HARMLESS, LOADING])
    assert passed_on == [LOADING]
    assert kept == [*HARMLESS, LOADING]


def test_verbose_shows_everything() -> None:
    assert read([*HARMLESS, LOADING], show_harmless=True)[0] == [*HARMLESS, LOADING]


def test_a_blocked_hook_does_not_block_the_server() -> None:
    reading, writing = os.pipe()
    unblock = threading.Event()
    reader = LogReader(os.fdopen(reading, "rb"), lambda line: unblock.wait() and None, show_harmless=False)
    with os.fdopen(writing, "wb") as pipe:
        for _ in range(30_000):  # far more than a pipe holds
            pipe.write(b"a line of the log of a busy server\n")
    assert processes.eventually(lambda: not reader._threads[0].is_alive() or reader._dropped > 0)
    unblock.set()
    reader.join(5)


def test_a_broken_hook_does_not_stop_the_log() -> None:
    seen: list[str] = []

    def hook(line: str) -> None:
        seen.append(line)
        raise ValueError("I/O operation on closed file")

    LogReader(io.BytesIO(b"one\ntwo\n"), hook, show_harmless=False).join(5)
    assert seen == ["one", "two"]


def test_the_default_hook_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    to_stderr("a line")
    assert capsys.readouterr().err == "a line\n"


PYTHON_FAILURE = (
    "E1123 05:35:48.465869 8070 model_lifecycle.cc:642] \"failed to load 'broken' version 1: Internal: RuntimeError: "
    r'no \"weights\"\nsecond line\n\nAt:\n  /models/broken/1/model.py(1): <module>\n"'
)
PARSE_FAILURE = [
    "[libprotobuf ERROR /tmp/text_format.cc:337] Error parsing text-format inference.ModelConfig: 1:25: no such field",
    "E1123 05:35:48.417115 8070 model_repository_manager.cc:1460] \"Poll failed for model directory 'typo': failed to "
    'read text proto from /models/typo/config.pbtxt"',
]
PARSE_REASON = (
    "failed to read text proto from /models/typo/config.pbtxt; "
    "Error parsing text-format inference.ModelConfig: 1:25: no such field"
)
ENSEMBLE_FAILURE = (
    'E1123 05:47:00.454325 1 m.cc:703] "Invalid argument: ensemble e contains models that are missing: x"'
)
NO_VERSION = "E1123 05:47:00.456387 1 m.cc:724] \"failed to load model 'x': at least one version must be available\""
NO_FILE = (
    "I1123 05:48:03.195872 10992 pb_stub.cc:2105]  Failed to preinitialize Python stub: "
    "Python model file not found in '/models/empty/1/model.py'"
)


@pytest.mark.parametrize(
    ("lines", "model", "reason"),
    [
        ([PYTHON_FAILURE], "broken", 'Internal: RuntimeError: no "weights"\nsecond line'),
        (PARSE_FAILURE, "typo", PARSE_REASON),
        ([ENSEMBLE_FAILURE], "e", "ensemble e contains models that are missing: x"),
        ([NO_VERSION], "x", "at least one version must be available"),
        ([NO_FILE], "empty", "Python model file not found in '/models/empty/1/model.py'"),
    ],
)
def test_the_reason_why_a_model_does_not_load(lines: list[str], model: str, reason: str) -> None:
    assert model_failures([LOADING, *lines, "error: creating server: Internal - failed to load all models"]) == {
        model: reason
    }
    assert isinstance(error := start_failure(1, lines, Path("models")), RepositoryError)
    assert model in str(error)


MEMBER_FAILURE = (
    "E1123 09:40:43.031866 1 model_lifecycle.cc:642] \"failed to load 'ctc_decode' version 1: Internal: "
    r"FileNotFoundError: 'labels.json'\n\nAt:\n  model.py(1): open\n\""
)
WHOLE_FAILURE = (
    "E1123 09:40:43.320480 1 model_repository_manager.cc:703] \"Invalid argument: ensemble 'asr' depends on "
    "'ctc_decode' which has no loaded version. Model 'ctc_decode' loading failed with error: version 1 is at "
    r"UNAVAILABLE state: Internal: FileNotFoundError: 'labels.json'\n\nAt:\n  model.py(1): open\n;\""
)


def test_an_ensemble_does_not_repeat_what_its_member_says() -> None:
    assert model_failures([MEMBER_FAILURE, WHOLE_FAILURE]) == {
        "ctc_decode": "Internal: FileNotFoundError: 'labels.json'",
        "asr": "ensemble 'asr' depends on 'ctc_decode' which has no loaded version",
    }
    assert "FileNotFoundError" in model_failures([WHOLE_FAILURE])["asr"]  # nobody else says it


NO_TENSORRT = (
    "E1123 09:37:21.2 1 m.cc:642] \"failed to load 'en_acoustic' version 1: Invalid argument: unable to find backend "
    "library for backend 'tensorrt', try specifying runtime on the model configuration.\""
)
BROKEN_PLAN = "E1123 09:37:21.2 1 m.cc:642] \"failed to load 'en_acoustic' version 1: Internal: no engine\""


@pytest.mark.parametrize(
    ("line", "built", "advice"),
    [
        (BROKEN_PLAN, False, ["has no TensorRT engine yet: run {script} on the GPU host"]),
        (NO_TENSORRT, False, ["has no TensorRT engine yet", "which the pip-installed Triton lacks"]),
        (NO_TENSORRT, True, ["which the pip-installed Triton lacks"]),
        (BROKEN_PLAN, True, []),
    ],
)
def test_what_to_do_about_a_model_that_needs_an_engine(
    line: str, built: bool, advice: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "en_acoustic" / "build_engine.sh"
    (script.parent / "1").mkdir(parents=True)
    script.touch()
    if built:
        (script.parent / "1" / "model.plan").touch()
    _, _, *given = str(start_failure(1, [line], tmp_path)).splitlines()
    assert len(given) == len(advice)
    assert all(expected.format(script=script) in text for expected, text in zip(advice, given, strict=True))


def test_a_taken_port() -> None:
    line = "E1123 05:47:32.258558 1 main.cc:257] \"failed to start HTTP service: Socket '127.0.0.1:1' already in use \""
    assert says_port_taken([LOADING, line])
    assert not says_port_taken([LOADING])


def test_a_wrong_option_is_found_above_the_usage_text() -> None:
    lines = ["/opt/tritonserver: unrecognized option '--nonsense'", "Usage: tritonserver [options]", *["  text"] * 500]
    error = start_failure(1, lines, Path("models"))
    assert isinstance(error, ServerDiedError)
    assert str(error).endswith("before it was ready:\n  /opt/tritonserver: unrecognized option '--nonsense'")

"""The users in Locust itself, as people start it, against fakes of Triton."""

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gateway_service
import pytest
import steady_ports
from fake_server import running
from known_delays import Behaviour

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "tests" / "client"))

from fake_inference import FakeTriton, serving  # noqa: E402

LOCUST = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py")]
LIMIT_S = 60
# How long Locust's users may call. Where the machine is so busy that they hardly begin, the next one is tried.
DURATIONS_S = (2, 8, 30)


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three recordings, of 1, 3 and 4 s."""
    folder = tmp_path_factory.mktemp("audio")
    for seconds in (1, 3, 4):
        with wave.open(str(folder / f"{seconds}s.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(16_000 * seconds))
    return folder


def start(*arguments: object, folder: Path | None = None) -> subprocess.Popen[str]:
    """Locust, in a process of its own, and in a folder."""
    command = [*LOCUST, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and log."""
    with process:
        try:
            log = process.communicate(timeout=LIMIT_S)[1]
        finally:
            process.kill()
    return process.returncode, log


def headless(folder: Path, url: str, audio: Path, *arguments: object) -> subprocess.Popen[str]:
    """A run without web page, which writes its figures to the folder."""
    folder.mkdir(exist_ok=True)
    options = ["--headless", "--only-summary", "--stop-timeout", 3, "--json-file", folder / "run"]
    return start(*options, "--host", url, "--audio", audio, *arguments)


def figures(folder: Path) -> dict[str, dict[str, Any]]:
    """The figures that Locust wrote, by name."""
    return {entry["name"]: entry for entry in json.loads((folder / "run.json").read_text(encoding="utf-8"))}


def latencies(folder: Path) -> list[float]:
    """Milliseconds of all requests, ascending, as Locust rounds them."""
    return sorted(
        float(latency)
        for entry in figures(folder).values()
        for latency, number in entry["response_times"].items()
        for _ in range(number)
    )


@contextmanager
def server(protocol: str) -> Iterator[str]:
    """HOST:PORT of a server that answers at once."""
    if protocol == "grpc":
        with running(Behaviour()) as url:
            yield url
    elif protocol == "openai":
        with running(Behaviour()) as url, gateway_service.running(url) as gateway:
            yield gateway.url
    else:
        with serving(FakeTriton("http")) as fake:
            yield fake.url


@pytest.mark.parametrize(
    ("protocol", "users"),
    [("grpc", "GrpcUser"), ("http", "HttpUser"), ("openai", "OpenAIUser"), ("openai", "OpenLoopOpenAIUser")],
)
def test_requests_are_named_by_protocol_and_length_class(
    protocol: str, users: str, audio: Path, tmp_path: Path
) -> None:
    with server(protocol) as url:
        for seconds in DURATIONS_S:
            load = ["-u", 2, "-t", f"{seconds}s", "--rate-per-user", 20]
            status, log = finish(headless(tmp_path, url, audio, *load, users))
            assert status == 0, log
            seen = figures(tmp_path)
            if len(seen) > 1:
                break

    assert {name: entry["method"] for name, entry in seen.items()} == {"0-2 s": protocol, "2-5 s": protocol}
    assert all(entry["num_failures"] == 0 for entry in seen.values())
    short = seen["0-2 s"]
    assert short["total_content_length"] == short["num_requests"] * (audio / "1s.wav").stat().st_size


def test_refusals_and_changed_transcripts_are_failures(audio: Path) -> None:
    with running(Behaviour(delay_s=0.02, queue_limit=2, changes_every=5)) as url:
        for seconds in DURATIONS_S:
            load = ["--headless", "--only-summary", "-u", 4, "-r", 4, "-t", f"{seconds}s", "--check"]
            status, log = finish(start("--host", url, "--audio", audio, *load))
            failures = re.findall(r"^(\d+) +grpc [-\d]+ s: (\w+)\(", log, re.MULTILINE)
            if len({error for _, error in failures}) > 1:
                break

    assert status == 1
    assert {error for _, error in failures} == {"QueueFull", "TranscriptChanged"}
    (counted,) = re.findall(r"Aggregated +\d+ +(\d+)\(", log)
    assert int(counted) == sum(int(number) for number, _ in failures)


def test_refusals_of_a_gateway_are_failures(audio: Path) -> None:
    with running(Behaviour(delay_s=0.02)) as url, gateway_service.running(url, "--max-requests", 1) as gateway:
        for seconds in DURATIONS_S:
            load = ["--headless", "--only-summary", "-u", 4, "-r", 4, "-t", f"{seconds}s", "--check", "OpenAIUser"]
            status, log = finish(start("--host", gateway.url, "--audio", audio, *load))
            failures = re.findall(r"^(\d+) +openai [-\d]+ s: (\w+)\(.*429 too_many_requests", log, re.MULTILINE)
            if failures:
                break

    assert status == 1
    assert {error for _, error in failures} == {"QueueFull"}


def test_only_the_open_loop_shows_a_stall(audio: Path, tmp_path: Path) -> None:
    stall = Behaviour(delay_s=0.01, stall_at_request=20, stall_s=1.5)
    open_loop = ["OpenLoopGrpcUser", "--rate-per-user", 20, "--arrivals", "constant"]
    with running(stall) as one, running(stall) as other:
        runs = [
            headless(tmp_path / "closed", one, audio, "-t", "4s"),
            # Longer, because on a busy machine the users begin late, and the stall must end before the test.
            headless(tmp_path / "open", other, audio, "-t", "7s", *open_loop),
        ]
        for run in runs:
            assert finish(run)[0] == 0

    closed, opened = latencies(tmp_path / "closed"), latencies(tmp_path / "open")
    # One request met it, and on a busy machine some others took long.
    assert 1 <= sum(latency > 400 for latency in closed) < 8
    # 1.1 s long, requests met a stall of which 400 ms or more were left.
    assert sum(latency > 400 for latency in opened) >= 20 * 1.1 - 5


def test_workers_share_the_rate(audio: Path, tmp_path: Path) -> None:
    (port,) = steady_ports.free()
    with running(Behaviour()) as url:
        workers = [start("--worker", "--master-port", port, "--audio", audio) for _ in range(2)]
        distributed = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        load = ["-u", 4, "-r", 4, "--rate-per-user", 5, "--arrivals", "constant", "-t", "4s", "--check"]
        status, log = finish(
            headless(tmp_path, url, audio, *distributed, "--expect-workers", 2, *load, "OpenLoopGrpcUser")
        )
        ended = [finish(worker) for worker in workers]

    assert (status, [status for status, _ in ended]) == (0, [0, 0]), log
    assert all(entry["num_failures"] == 0 for entry in figures(tmp_path).values())
    assert 4 * 5 * 1.5 < len(latencies(tmp_path)) <= 4 * (5 * 4 + 1)


def test_a_worker_without_the_recordings_fails_the_test(audio: Path, tmp_path: Path) -> None:
    (port,) = steady_ports.free()
    with running(Behaviour()) as url:
        worker = start("--worker", "--master-port", port, folder=tmp_path)
        distributed = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", 1]
        options = ["--headless", "--only-summary", "--host", url, "--audio", audio.name, "-t", "2s"]
        status, _ = finish(start(*distributed, *options, folder=audio.parent))
        worker.terminate()  # by itself it would wait a minute for the master
        ended, log = finish(worker)

    assert (status, ended) == (1, 1)
    assert f"{audio.name} does not exist" in log


def test_the_web_page_takes_the_options(audio: Path) -> None:
    (port,) = steady_ports.free()
    page = f"http://127.0.0.1:{port}"
    with running(Behaviour()) as url, start("--web-host", "127.0.0.1", "--web-port", port) as process:
        try:
            assert "rate_per_user" in get(page)
            form = {"user_count": 2, "spawn_rate": 2, "host": url, "audio": audio, "rate_per_user": "5.0"}
            assert json.loads(get(f"{page}/swarm", form))["success"]
            while not (stats := json.loads(get(f"{page}/stats/requests")))["stats"][-1]["num_requests"]:
                time.sleep(0.1)
            get(f"{page}/stop", {})
        finally:
            process.terminate()
            process.communicate(timeout=LIMIT_S)

    assert stats["fail_ratio"] == 0


def test_a_stream_user_tells_the_lags_of_its_results(audio: Path, tmp_path: Path) -> None:
    with running(Behaviour(delay_s=0.01, streams=2)) as url:
        # Locust stops users within a stream, and ends all the same.
        load = ["-u", 3, "-r", 3, "-t", "10s", "--stop-timeout", 1]
        status, log = finish(headless(tmp_path, url, audio, *load, "StreamUser"))

    assert status == 1, log  # one of three is refused
    seen = figures(tmp_path)
    assert set(seen) == {"partial result", "final result", "live stream"}
    assert seen["partial result"]["num_failures"] == seen["final result"]["num_failures"] == 0
    # Two streams have a partial result each 0.32 s of 10; by then their newest chunk is 0.48 s old or more.
    assert 16 <= seen["partial result"]["num_requests"] <= 65
    assert min(map(float, seen["partial result"]["response_times"])) >= 480
    assert seen["live stream"]["num_failures"] > 0


def test_transcripts_of_live_streams_are_not_checked_in_locust(audio: Path, tmp_path: Path) -> None:
    with running(Behaviour()) as url:
        status, log = finish(headless(tmp_path, url, audio, "-t", "2s", "--check", "StreamUser"))

    assert status == 1
    assert "--check is for requests" in log


def get(address: str, form: dict[str, Any] | None = None) -> str:
    """A page of the server, which may still be starting; a form is sent with POST."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    for _ in range(100):
        try:
            with urllib.request.urlopen(address, data, timeout=LIMIT_S) as response:
                return response.read().decode()
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nobody answers at {address}")


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("127.0.0.1:1", [], "is the server running"),
        ("127.0.0.1:1", ["--audio", "nowhere"], "nowhere does not exist"),
        ("127.0.0.1:1", ["--audio", ""], "needs --audio"),
        ("127.0.0.1:1", ["OpenAIUser"], "needs http://HOST:PORT"),
        ("http://127.0.0.1:1", ["OpenAIUser"], "cannot talk to 127.0.0.1:1"),
    ],
)
def test_a_test_that_cannot_begin_says_why_in_one_line(
    url: str, options: list[str], words: str, audio: Path, tmp_path: Path
) -> None:
    status, log = finish(headless(tmp_path, url, audio, "-t", "2s", *options))

    assert status == 1
    assert words in log
    assert "Traceback" not in log


def test_the_package_does_not_need_locust() -> None:
    code = "import sys, asr_loadtest.recordings, asr_loadtest.locust.open_loop; sys.exit('locust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Measure the cost of a fault for the callers: a process is killed, or the server restarts, during `transcribe_many`.

    python benchmarks/faults.py REPOSITORY [--items 400] [--rounds 3]

The client sends 200 requests at a time, with its default retries. If an item is lost or its transcript is wrong, the
exit status is 1. The table also shows the time of the same items without a fault.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from asr_client import Audio, Client, Outcome
from asr_server import TritonServer
from asr_server.ports import Ports, reserve
from machine import machine
from overload import PACKAGES, recordings
from tqdm import tqdm

RESULT = Path(__file__).parent / "results" / "faults.json"
CONCURRENCY = 200
ANSWERED_FIRST = 20  # items before the fault
MEMBERS = ("preprocess", "acoustic", "ctc_decode")


@dataclass
class Run:
    """The results of one run."""

    fault: str
    items: int
    seconds: float
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Measure, print a table and write the figures; exit with 1 if an item is lost or wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    runs = measure(arguments.repository, arguments.items, arguments.rounds)
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(PACKAGES), "figures": [asdict(run) for run in runs]}
    arguments.result.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(table(runs))
    print(f"written to {arguments.result}", file=sys.stderr)
    if any(run.wrong or run.errors for run in runs):
        sys.exit(1)


def measure(repository: Path, items: int, rounds: int) -> list[Run]:
    """Run every fault once in each round, and return the runs."""
    files = recordings()
    runs: list[Run] = []
    with serving(repository) as server, Client(server.grpc_url) as client:
        texts = [client.transcribe(file).text for file in files]
        faults: dict[str, Callable[[], None] | None] = {
            "none": None,
            **{f"kill -9 of {member}": lambda member=member: kill_stub(server, member) for member in MEMBERS},  # type: ignore[misc]
            "restart of the server": lambda: restart(server),
        }
        for _ in range(rounds):
            for name, fault in faults.items():
                runs.append(disturbed(client, files, texts, items, fault, name))
    return runs


def serving(repository: Path) -> TritonServer:
    """Return a server that is not started yet; it keeps its free ports when it restarts."""
    ports = reserve("127.0.0.1", Ports(0, 0, 0))
    return TritonServer(
        repository, http_port=ports.http, grpc_port=ports.grpc, metrics_port=ports.metrics, log=lambda line: None
    )


def kill_stub(server: TritonServer, member: str) -> None:
    """Kill the process of one instance of a model, as the out-of-memory killer would."""
    os.kill(stubs(server.pid, member)[0], signal.SIGKILL)


def stubs(tritonserver: int, member: str) -> list[int]:
    """Return the process ids of a model."""
    found = []
    for process in psutil.Process(tritonserver).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(f"/{member}/1/" in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def restart(server: TritonServer) -> None:
    """Stop the server in an orderly way, and start it again at the same address."""
    server.stop()
    server.start()


def disturbed(
    client: Client,
    files: Sequence[bytes],
    texts: Sequence[str],
    items: int,
    fault: Callable[[], None] | None,
    name: str,
    concurrency: int = CONCURRENCY,
) -> Run:
    """Transcribe the items, cause the fault meanwhile, and compare the transcripts with the texts.

    Args:
        client: a client of the server.
        files: the files to send, again and again.
        texts: the right transcript of each file.
        items: number of items to send.
        fault: causes the fault; runs in a thread of its own, after some items are answered.
        name: of the fault.
        concurrency: number of requests at a time.
    """
    begin = threading.Event()
    failed: list[BaseException] = []

    def strike() -> None:
        begin.wait()
        try:
            if fault is not None:
                fault()
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            failed.append(error)

    def on_progress(outcome: Outcome) -> None:
        bar.update()
        if bar.n >= ANSWERED_FIRST:
            begin.set()

    thread = threading.Thread(target=strike)
    thread.start()
    start = time.perf_counter()
    try:
        with tqdm(total=items, desc=name, unit="item", file=sys.stderr) as bar:
            outcomes = client.transcribe_many(
                [Audio(files[index % len(files)]) for index in range(items)],
                concurrency=concurrency,
                on_progress=on_progress,
            )
        seconds = time.perf_counter() - start
    finally:
        begin.set()
        thread.join()
    if failed:
        raise failed[0]
    answered = [outcome for outcome in outcomes if outcome.transcription is not None]
    wrong = sum(outcome.unwrap().text != texts[outcome.index % len(texts)] for outcome in answered)
    errors = Counter(f"{type(outcome.error).__name__}: {outcome.error}" for outcome in outcomes if outcome.error)
    return Run(name, items, round(seconds, 2), wrong, errors)


def table(runs: Sequence[Run]) -> str:
    """Return the table of docs/faults.md as Markdown."""
    rows = []
    for name in dict.fromkeys(run.fault for run in runs):
        those = [run for run in runs if run.fault == name]
        seconds = [run.seconds for run in those]
        lost = sum(run.errors.total() for run in those)
        rows.append(
            f"| {name} | {sum(run.items for run in those)} | {lost} | {sum(run.wrong for run in those)} | "
            f"{statistics.median(seconds):.1f} | {min(seconds):.1f} to {max(seconds):.1f} |"
        )
    return "\n".join(["| fault | items | lost | wrong | s, median | s, range |", "|---|---|---|---|---|---|", *rows])


if __name__ == "__main__":
    main()

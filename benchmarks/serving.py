"""The served demo model beside a bare onnxruntime loop over the same graph, in one run: what does serving cost?

    python benchmarks/serving.py REPOSITORY MANIFEST [--rounds 5]

Throughput: the loop runs one recording after the other, already decoded, on all cores: no service without batching can
be faster. The service gets the files over gRPC from 16 callers at once, and decodes, batches and finds the text.
Latency: one caller, a 5 s WAV; the loop's time for the same samples is the acoustic model's share.
Rounds alternate, so that a neighbour's load hits both; figures are medians of rounds, ratios are paired in a round.
"""

import argparse
import io
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soundfile
import soxr
from asr_client import Audio, Client
from asr_server import TritonServer
from numpy.typing import NDArray
from tqdm import tqdm

RATE = 16_000
RESULT = Path(__file__).parent / "results" / "serving.json"
CALLERS = 16
SECONDS_PER_ROUND = 240  # of audio
LATENCY_REQUESTS = 20
PACKAGES = ("onnxruntime", "nvidia-pytriton", "tritonclient", "numpy", "triton-asr-kit")


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    waves = recordings(arguments.manifest)
    graph = onnxruntime.InferenceSession(arguments.repository / "acoustic" / "1" / "model.onnx")
    log: list[str] = []
    with (
        TritonServer(arguments.repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server,
        Client(server.grpc_url) as client,
    ):
        figures = measure(graph, client, waves, arguments.rounds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"machine": machine(PACKAGES), "figures": figures}, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    print(f"written to {RESULT}", file=sys.stderr)


def recordings(manifest: Path) -> list[NDArray[np.float32]]:
    """Pieces of 1 to 20 s, float32 `[samples]` at 16 kHz, cut from the manifest's recordings; the same every time."""
    rows = manifest.read_text(encoding="utf-8").splitlines()[1:]
    files = [manifest.parent / row.split("\t")[0] for row in rows]
    decoded = [soundfile.read(file, dtype="float32", always_2d=True) for file in files if file.suffix != ".m4a"]
    speech = np.concatenate([soxr.resample(samples.mean(axis=1), rate, RATE) for samples, rate in decoded])
    random = np.random.default_rng(0)
    waves: list[NDArray[np.float32]] = []
    while sum(map(len, waves)) < SECONDS_PER_ROUND * RATE:
        length = int(random.uniform(1, 20) * RATE)
        start = int(random.integers(0, len(speech) - length))
        waves.append(speech[start : start + length])
    return waves


def measure(graph: Any, client: Client, waves: list[NDArray[np.float32]], rounds: int) -> dict[str, Any]:
    """Alternate the loop and the service; the first round of each warms up and is not counted."""
    files = [wav(wave) for wave in waves]
    audio_s = sum(map(len, waves)) / RATE
    five = np.concatenate(waves)[: 5 * RATE]
    five_file = wav(five)
    rows: list[dict[str, float]] = []
    for _ in tqdm(range(rounds + 1), unit="round", file=sys.stderr):
        loop_s = seconds(lambda: run_all(graph, waves))
        served_s = seconds(lambda: serve(client, files))
        acoustic_ms = 1000 * median_seconds(lambda: run(graph, five))
        request_ms = 1000 * median_seconds(lambda: client.transcribe(five_file))
        rows.append(
            {
                "loop_rtfx": audio_s / loop_s,
                "served_rtfx": audio_s / served_s,
                "served_to_loop": loop_s / served_s,
                "acoustic_ms": acoustic_ms,
                "request_ms": request_ms,
                "overhead_ms": request_ms - acoustic_ms,
            }
        )
    counted = rows[1:]
    return {
        "rounds": len(counted),
        "recordings": len(waves),
        "audio_s": round(audio_s, 1),
        **{
            key: {name: round(of([row[key] for row in counted]), 3) for name, of in SUMMARIES.items()}
            for key in counted[0]
        },
    }


SUMMARIES: dict[str, Callable[[list[float]], float]] = {"median": statistics.median, "min": min, "max": max}


def run_all(graph: Any, waves: list[NDArray[np.float32]]) -> None:
    """One after the other, each with all cores."""
    for wave in waves:
        run(graph, wave)


def run(graph: Any, wave: NDArray[np.float32]) -> None:
    """One recording through the bare graph."""
    graph.run(None, {"audio": wave, "audio_shape": np.array([[len(wave)]], np.int32)})


def serve(client: Client, files: list[bytes]) -> None:
    """All recordings through the service; an error ends the benchmark."""
    for outcome in client.transcribe_many([Audio(file) for file in files], concurrency=CALLERS):
        outcome.unwrap()


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_seconds(work: Callable[[], object]) -> float:
    """Median wall time of several calls."""
    return statistics.median(seconds(work) for _ in range(LATENCY_REQUESTS))


def wav(wave: NDArray[np.float32]) -> bytes:
    """A 16-bit WAV file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, RATE, format="WAV")
    return buffer.getvalue()


def machine(packages: tuple[str, ...]) -> dict[str, Any]:
    """What the figures were measured on."""
    models = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def table(figures: dict[str, Any]) -> str:
    """Markdown, as in docs/benchmarks.md."""
    names = {
        "loop_rtfx": "bare onnxruntime loop, audio seconds per second",
        "served_rtfx": f"served, {CALLERS} callers, audio seconds per second",
        "served_to_loop": "served / loop",
        "acoustic_ms": "acoustic model alone, 5 s of audio, ms",
        "request_ms": "one request of a 5 s WAV, one caller, ms",
        "overhead_ms": "request less acoustic model, ms",
    }
    rows = [
        f"| {name} | {figures[key]['median']} | {figures[key]['min']} to {figures[key]['max']} |"
        for key, name in names.items()
    ]
    return "\n".join(["| | median | range of rounds |", "|---|---|---|", *rows])


if __name__ == "__main__":
    main()

"""Compare the kit with other ways to serve the same checkpoint: throughput at saturation, latency of one caller.

    python benchmarks/compare.py [--model both] [--rounds 3] [--peers loop,workers,…] [--seconds AUDIO]

Models: the demo checkpoint (1.9 M parameters), and a base-size one (95 M) with random weights, which is as fast as a
trained one; its text is long noise. All peers load the same checkpoint and hear the same recordings, on all cores. They
start once, and take turns in each round, in alternating order; each ratio pairs figures of the same round.

Throughput: recordings of 1 to 20 s, and separately of 10 s each; 16 callers send to a server at the same time.
Latency: one caller, a 5 s recording. On the demo checkpoint, all float32 peers must give the same transcripts, because
the speed of wrong answers means nothing.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from checkpoints import prepare
from machine import cores, idle_cores, machine
from peers.bare import BareLoop, BareWorkers
from peers.fastapi_server import FastApiServer
from peers.figures import Round, summary
from peers.kit import Kit, KitInt8
from peers.optimum_ctc import Optimum
from peers.peer import Peer, Setting
from peers.pipeline import Pipeline
from peers.pytriton_server import PyTritonServer
from peers.table import tables
from speech import Recording, equal, from_samples, mixed, samples_of
from tqdm import tqdm

PEERS: dict[str, type[Peer]] = {
    "loop": BareLoop,
    "workers": BareWorkers,
    "pipeline": Pipeline,
    "optimum": Optimum,
    "fastapi": FastApiServer,
    "pytriton": PyTritonServer,
    "kit": Kit,
    "kit-int8": KitInt8,
}
SECONDS = {"demo": 400.0, "base": 140.0}  # of mixed audio in a round; half as much of equal length
EQUAL_S = 10.0
LATENCY_S = 5.0
LATENCY_REQUESTS = (5, 20)  # in a round: at least, at most
LATENCY_TIME_S = 3.0  # after that, the least number is enough
MANIFEST = Path(__file__).parents[1] / "demo" / "samples" / "manifest.tsv"
RESULT = Path(__file__).parent / "results" / "peers.json"
PACKAGES = (
    "onnxruntime",
    "torch",
    "transformers",
    "fastapi",
    "uvicorn",
    "nvidia-pytriton",
    "tritonclient",
    "numpy",
    "triton-asr-kit",
)


def main() -> None:
    """Measure, print tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["demo", "base", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=_names, default=list(PEERS), help=f"comma-separated; {','.join(PEERS)}")
    parser.add_argument("--seconds", type=float, help=f"seconds of mixed audio in a round; default {SECONDS}")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    library: Any = transformers.utils  # its logging has no types
    library.logging.set_verbosity_error()
    speech = samples_of(MANIFEST)
    models = list(SECONDS) if arguments.model == "both" else [arguments.model]
    figures = {
        model: compare(model, arguments.peers, arguments.rounds, arguments.seconds or SECONDS[model], speech)
        for model in models
    }
    arguments.output.parent.mkdir(exist_ok=True)
    result = {"machine": machine(PACKAGES), "figures": figures}
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(tables(figures))
    print(f"written to {arguments.output}", file=sys.stderr)


def compare(model: str, names: list[str], rounds: int, seconds: float, speech: list[Any]) -> dict[str, Any]:
    """Return the figures of one model."""
    together = np.concatenate(speech)
    mix, same = mixed(together, seconds), equal(together, seconds / 2, EQUAL_S)
    (probe,) = equal(together, LATENCY_S, LATENCY_S)
    print(f"{model}: exporting", file=sys.stderr)
    exported = prepare(model)
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        setting = Setting(exported, cores(), Path(scratch))
        peers = {
            name: running.enter_context(PEERS[name](setting)) for name in tqdm(names, desc=f"{model}: starting peers")
        }
        for peer in tqdm(peers.values(), desc=f"{model}: warming up"):
            throughput(peer, mix[-max(2, peer.callers) :])
        idle = idle_cores()
        samples = [from_samples(wave) for wave in speech]
        changed = check(peers, samples) if model == "demo" else None
        measured: dict[str, list[Round]] = {name: [] for name in names}
        with tqdm(total=rounds * len(names), desc=f"{model}: measuring") as progress:
            for number in range(rounds):
                for name in names if number % 2 == 0 else reversed(names):
                    measured[name].append(measure(peers[name], mix, same, probe))
                    progress.update()
    return {
        "rounds": rounds,
        "mixed": {"recordings": len(mix), "audio_s": round(audio_s(mix), 1)},
        "equal": {"recordings": len(same), "audio_s": round(audio_s(same), 1)},
        "idle_cores": idle,
        "transcripts_changed": changed,
        **summary(measured),
    }


def measure(peer: Peer, mix: list[Recording], same: list[Recording], probe: Recording) -> Round:
    """Measure one peer for one round."""
    mixed_rtfx, equal_rtfx = throughput(peer, mix), throughput(peer, same)
    peer.members_ms()  # drop the figures of what came before
    latencies_ms: list[float] = []
    least, most = LATENCY_REQUESTS
    start = time.perf_counter()
    while len(latencies_ms) < least or (len(latencies_ms) < most and time.perf_counter() - start < LATENCY_TIME_S):
        sent = time.perf_counter()
        peer.run(probe)
        latencies_ms.append(1e3 * (time.perf_counter() - sent))
    return Round(mixed_rtfx, equal_rtfx, tuple(latencies_ms), peer.members_ms())


def throughput(peer: Peer, recordings: list[Recording]) -> float:
    """Return seconds of audio per second, with enough callers to saturate the peer; an error ends the benchmark."""
    with ThreadPoolExecutor(peer.callers) as callers:
        start = time.perf_counter()
        for _ in callers.map(peer.run, recordings):
            pass
        return audio_s(recordings) / (time.perf_counter() - start)


def check(peers: dict[str, Peer], recordings: list[Recording]) -> dict[str, int]:
    """Return the number of transcripts of each peer that differ from the first peer's.

    Raises:
        RuntimeError: a transcript of a float32 peer differs.
    """
    texts = {name: [peer.text(peer.run(one)) for one in recordings] for name, peer in peers.items()}
    reference = next(iter(texts.values()))
    changed = {
        name: sum(mine != theirs for mine, theirs in zip(reference, answers, strict=True))
        for name, answers in texts.items()
    }
    for name, number in changed.items():
        if number and name != "kit-int8":
            raise RuntimeError(f"{number} of {len(recordings)} transcripts of {name} differ from {next(iter(texts))}'s")
    return changed


def audio_s(recordings: list[Recording]) -> float:
    """Return the total length in seconds."""
    return sum(recording.seconds for recording in recordings)


def _names(value: str) -> list[str]:
    names = value.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"unknown peer {unknown[0]!r}; choose from {', '.join(PEERS)}")
    return names


if __name__ == "__main__":
    main()

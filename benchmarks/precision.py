"""Measure word error rate and speed of fp16 and int8 against fp32, on a CPU, in one run.

    python benchmarks/precision.py CHECKPOINT MANIFEST [--rounds 9] [--without-base-size] [--result FILE]

Word error rates: the checkpoint's graphs hear the manifest's recordings, in batches as in service, after the gate of an
export. Speed: the same graphs, and those of a base-size model (95 M parameters), whose random weights are as fast as
trained ones. All sessions live in one process and have one thread each. The benchmark counts processor time, so that
other work on the machine disturbs little. Precisions take turns within a round, and each ratio pairs figures of one
round. The first round only warms up.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from asr_export import ExportOptions, export_checkpoint
from asr_export.checkpoint.families import FAMILIES
from asr_export.choices import PRECISIONS
from asr_export.graph.feeds import ragged_feed
from asr_export.graph.int8 import to_int8
from asr_export.graph.precision import plan_half, to_half
from asr_export.graph.trace import save_graph, write_graph
from asr_export.networks.acoustic import ProductsCtc, RaggedCtc
from machine import machine
from numpy.typing import NDArray
from speech import RATE, samples_of
from tqdm import tqdm

RESULT = Path(__file__).parent / "results" / "precision.json"
PRODUCTS_ALONE = "int8, convolutions in fp32"  # of the base-size model: what int8 was before it had convolutions
# Seconds of the recordings in one run.
WORKLOADS = {"one of 5 s": [5.0], "four of 2 to 8 s": [2.0, 8.0, 4.0, 6.0]}


def main() -> None:
    """Measure, print tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--without-base-size", action="store_true", help="measure only the speed of the checkpoint")
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    speech = np.concatenate(samples_of(arguments.manifest))
    with tempfile.TemporaryDirectory() as work:
        graphs, errors = export(arguments.checkpoint, arguments.manifest, Path(work) / "demo")
        models: dict[str, Mapping[str, Path]] = {"demo": graphs}
        if not arguments.without_base_size:
            models["base-size"] = base_size(Path(work) / "base")
        figures = {
            "word_errors": errors,
            "megabytes": {
                model: {precision: round(path.stat().st_size / 1e6, 1) for precision, path in paths.items()}
                for model, paths in models.items()
            },
            "speed": {model: measure(paths, speech, arguments.rounds) for model, paths in models.items()},
        }
    about = {**machine(("onnxruntime", "onnx", "numpy", "triton-asr-kit")), "rounds": arguments.rounds}
    arguments.result.write_text(json.dumps({"machine": about, "figures": figures}, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    print(f"written to {arguments.result}", file=sys.stderr)


def export(checkpoint: Path, manifest: Path, work: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """Return a checkpoint's graphs, which passed the gate, and their word error rates."""
    graphs: dict[str, Path] = {}
    errors: dict[str, Any] = {}
    for precision in PRECISIONS:
        options = ExportOptions(precision=precision, check_manifest=str(manifest))
        result = export_checkpoint(str(checkpoint), work / precision, options)
        graphs[precision] = result.output / result.models.runner / "1" / "model.onnx"
        errors[precision] = asdict(result.word_errors) if result.word_errors else {}
    return graphs, errors


def base_size(work: Path) -> dict[str, Path]:
    """Return graphs of the size and shape of wav2vec2-base, by precision."""
    torch.manual_seed(0)
    family = FAMILIES["wav2vec2"]
    library: Any = transformers  # its classes have no types
    model, extractor = library.Wav2Vec2ForCTC(library.Wav2Vec2Config()), library.Wav2Vec2FeatureExtractor()
    graphs = {precision: work / precision / "model.onnx" for precision in (*PRECISIONS, PRODUCTS_ALONE)}
    for path in graphs.values():
        path.parent.mkdir(parents=True)
    geometry = family.geometry(model.config, extractor)
    write_graph(RaggedCtc(family.network(model, extractor)), geometry, graphs["fp32"])
    write_graph(ProductsCtc(family.network(model, extractor)), geometry, graphs["int8"])
    half = onnx.load(graphs["fp32"])
    to_half(half, plan_half(half))
    save_graph(half, graphs["fp16"])
    for name, convolutions in ((PRODUCTS_ALONE, False), ("int8", True)):
        int8 = onnx.load(graphs["int8"])
        to_int8(int8, convolutions)
        save_graph(int8, graphs[name])
    return graphs


def measure(
    graphs: Mapping[str, Path], speech: NDArray[np.float32], rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the milliseconds of one core for each run, and the speed relative to fp32."""
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1
    sessions = {precision: onnxruntime.InferenceSession(path, one_thread) for precision, path in graphs.items()}
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for workload, lengths in WORKLOADS.items():
        ends = np.cumsum([int(RATE * seconds) for seconds in lengths])
        feed = ragged_feed(np.split(speech[: ends[-1]], ends[:-1]))
        times: dict[str, list[float]] = {precision: [] for precision in graphs}
        for _ in tqdm(range(rounds + 1), desc=workload, unit="round", file=sys.stderr):
            for precision, session in sessions.items():
                start = time.process_time()
                session.run(None, feed)
                times[precision].append(time.process_time() - start)
        figures[workload] = {precision: summary(times["fp32"][1:], taken[1:]) for precision, taken in times.items()}
    return figures


def summary(reference: list[float], taken: list[float]) -> dict[str, float]:
    """Return the median in milliseconds, and the median and range of the ratios of paired seconds."""
    ratios = [theirs / ours for theirs, ours in zip(reference, taken, strict=True)]
    return {
        "median_ms": round(1000 * statistics.median(taken), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
    }


def table(figures: dict[str, Any]) -> str:
    """Return the tables of docs/benchmarks.md as Markdown."""
    lines = [
        "| model | run | precision | MB | ms | times as fast as fp32 | range of rounds |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, workloads in figures["speed"].items():
        for workload, rows in workloads.items():
            for precision, row in rows.items():
                lines.append(
                    f"| {model} | {workload} | {precision} | {figures['megabytes'][model][precision]} | "
                    f"{row['median_ms']} | {row['ratio']} | {row['ratio_min']} to {row['ratio_max']} |"
                )
    lines += ["", "| demo | words | WER, % | PyTorch's WER, % | transcripts changed |", "|---|---|---|---|---|"]
    for precision, row in figures["word_errors"].items():
        lines.append(
            f"| {precision} | {row['words']} | {row['graph_wer']:.2f} | {row['reference_wer']:.2f} | "
            f"{row['transcripts_changed']} of {row['recordings']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

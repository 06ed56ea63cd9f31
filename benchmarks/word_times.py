"""Measure how far the service's word times lie from the synthesiser's.

    python benchmarks/word_times.py REPOSITORY [--sentences 200]

espeak-ng speaks held-out sentences by held-out voices, and reports when each word starts and ends. A real Triton
transcribes them with each decoder. The words of the sentences that came out right are compared. The benchmark needs
espeak-ng's library, and a repository with a language model.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from asr_client import Audio, Client, DecodeOptions
from asr_server import TritonServer
from numpy.typing import NDArray

DEMO = Path(__file__).parents[1] / "demo"
RESULT = Path(__file__).parent / "results" / "word_times.json"
sys.path.insert(0, str(DEMO))  # its modules are neighbours, not a package

from grammar import held_out_sentence  # noqa: E402
from synthesis import HELD_OUT_VOICES, SAMPLE_RATE, Speech, synthesise  # noqa: E402

DECODERS = {
    "greedy": DecodeOptions(word_timestamps=True),
    "beam": DecodeOptions(word_timestamps=True, decoder="beam", lm_weight=0.0),
    "beam + LM": DecodeOptions(word_timestamps=True, decoder="beam"),
}


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    rng = random.Random("word times")
    speech = [synthesise(held_out_sentence(rng, 1), rng.choice(HELD_OUT_VOICES)) for _ in range(arguments.sentences)]
    log: list[str] = []
    with (
        TritonServer(arguments.repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server,
        Client(server.grpc_url) as client,
    ):
        items = [Audio(one.samples, SAMPLE_RATE) for one in speech]
        figures = {name: compare(speech, client, items, options) for name, options in DECODERS.items()}
    arguments.result.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(
        "| decoder | words | edge, ms | bias (median) | median error | 95 % within | within 40 ms |",
        "|---" * 7 + "|",
        sep="\n",
    )
    for name, found in figures.items():
        for edge, row in found["edges"].items():
            print(
                f"| {name} | {found['words']} | {edge} | {row['bias_ms']} | {row['median_ms']} | {row['p95_ms']} | "
                f"{row['within_40_ms']:.0%} |"
            )


def compare(speech: Sequence[Speech], client: Client, items: Sequence[Audio], options: DecodeOptions) -> dict[str, Any]:
    """Return the errors of the word times, in the sentences that one decoder heard right."""
    answers = [outcome.unwrap() for outcome in client.transcribe_many(items, options=options)]
    right = [
        (told.start - true.start_s, told.end - true.end_s)
        for one, answer in zip(speech, answers, strict=True)
        if [word.word.lower() for word in answer.words] == [word.word for word in one.words]
        for told, true in zip(answer.words, one.words, strict=True)
    ]
    errors_ms = 1000 * np.array(right, dtype=np.float64)
    return {"words": len(right), "edges": {"start": summary(errors_ms[:, 0]), "end": summary(errors_ms[:, 1])}}


def summary(errors_ms: NDArray[np.float64]) -> dict[str, float]:
    """Summarise the signed errors `[words]` in milliseconds, and their sizes."""
    size = np.abs(errors_ms)
    return {
        "bias_ms": round(float(np.median(errors_ms)), 1),
        "median_ms": round(float(np.median(size)), 1),
        "p95_ms": round(float(np.quantile(size, 0.95)), 1),
        "within_40_ms": round(float((size <= 40).mean()), 3),
    }


if __name__ == "__main__":
    main()

"""Measure the lag of live streams: how long after a word was said does it appear, and with how many streams?

    python benchmarks/streams.py REPOSITORY [--streams 1,4,8,12,16] [--seconds 60]

Each stream holds held-out sentences by a held-out voice of espeak-ng (the system package), with pauses of 1.0 to 2.5 s.
It arrives in pieces of 0.1 s, as fast as it is spoken; all streams begin within one second.

- Partial lag: from the oldest sample that is new in a partial result, the first of its window.
- Word lag: from the end of a word, as the synthesiser reports it, to the first result with so many words. Segments in
  which the server heard another number of words do not count.
- First partial result: from the start of the first word of a segment. Final result: from the end of the last word.
- Word error rate: of the final results, and of the same sentences as separate recordings.
"""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from asr_client import AsyncClient, Audio, Client
from asr_server import TritonServer
from error_rates import wer_percent
from machine import machine
from numpy.typing import NDArray
from pacing import Pace, paced, quantile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "demo"))  # its modules are neighbours, not a package

from grammar import held_out_sentence  # noqa: E402
from synthesis import HELD_OUT_VOICES, SAMPLE_RATE, Speech, synthesise  # noqa: E402

RESULT = Path(__file__).parent / "results" / "streams.json"
PACKAGES = ("nvidia-pytriton", "onnxruntime", "tritonclient", "triton-asr-kit")
PAUSES_S = (1.0, 2.5)
CHUNK_S, AFTER_S = 0.32, 0.16  # of the windows, in the model's configuration
LAG_LIMIT_S = 1.0


@dataclass(frozen=True)
class Script:
    """The speech of one stream."""

    samples: NDArray[np.int16]
    sentences: tuple[Speech, ...]
    starts_s: tuple[float, ...]  # of the sentences


@dataclass
class Seen:
    """The results of one stream."""

    pace: Pace = field(default_factory=Pace)
    lags: list[float] = field(default_factory=list)  # of partial results
    partials: list[tuple[float, int]] = field(default_factory=list)  # of the current segment: (second, words)
    finals: list[tuple[float, str, float, list[tuple[float, int]]]] = field(default_factory=list)


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--streams", default="1,4,8,12,16")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    numbers = [int(number) for number in arguments.streams.split(",")]
    scripts = [script(index, arguments.seconds) for index in range(max(numbers))]
    log: list[str] = []
    with TritonServer(arguments.repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server:
        offline = alone(server.grpc_url, scripts)
        rows = []
        for number in numbers:
            seen = asyncio.run(play(server.grpc_url, scripts[:number]))
            rows.append({"streams": number, **figures(scripts, seen)})
            print(rows[-1], file=sys.stderr)
    carried = max((row["streams"] for row in rows if row["partial_lag_p95_s"] <= LAG_LIMIT_S), default=0)
    content = {
        "machine": machine(PACKAGES),
        "figures": {"offline_wer": offline, "rows": rows, "streams_with_p95_lag_of_1_s": carried},
    }
    arguments.result.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    keys = list(rows[0])
    print("| " + " | ".join(keys) + " |", "|" + "---|" * len(keys), sep="\n")
    print(*("| " + " | ".join(str(row[key]) for key in keys) + " |" for row in rows), sep="\n")
    print(f"word error rate of the same sentences as recordings: {offline} %")
    print(f"written to {arguments.result}", file=sys.stderr)


def script(index: int, seconds: float) -> Script:
    """Return the speech of stream number `index`."""
    rng, noise = random.Random(f"stream {index}"), np.random.default_rng(index)
    voice = rng.choice(HELD_OUT_VOICES)
    parts: list[NDArray[np.float32]] = []
    sentences, starts, at = [], [], 0
    while at < seconds * SAMPLE_RATE:
        pause = noise.normal(0, 1e-4, int(rng.uniform(*PAUSES_S) * SAMPLE_RATE)).astype(np.float32)
        said = synthesise(held_out_sentence(rng), voice)
        parts += [pause, said.samples]
        starts.append((at + len(pause)) / SAMPLE_RATE)
        sentences.append(said)
        at += len(pause) + len(said.samples)
    parts.append(noise.normal(0, 1e-4, 2 * SAMPLE_RATE).astype(np.float32))
    samples = (np.clip(np.concatenate(parts), -1, 1) * 32767).astype(np.int16)
    return Script(samples, tuple(sentences), tuple(starts))


def alone(url: str, scripts: Sequence[Script]) -> float:
    """Return the word error rate of the sentences as separate recordings, in percent."""
    said = [sentence for one in scripts for sentence in one.sentences]
    with Client(url) as client:
        outcomes = client.transcribe_many([Audio(sentence.samples, SAMPLE_RATE) for sentence in said])
    truth = [" ".join(word.word for word in sentence.words) for sentence in said]
    return wer_percent(zip(truth, [outcome.unwrap().text for outcome in outcomes], strict=True))


async def play(url: str, scripts: Sequence[Script]) -> list[Seen]:
    """Play all streams at the same time, and return their results."""
    async with AsyncClient(url) as client:
        await client.server_ready()  # connects

        async def one(index: int, what: Script) -> Seen:
            seen = Seen()
            await asyncio.sleep(index / len(scripts))
            seen.pace.start()
            async for result in client.stream(paced(what.samples, SAMPLE_RATE, seen.pace), sampling_rate=SAMPLE_RATE):
                now = seen.pace.now_s()
                if result.is_final:
                    seen.finals.append((now, result.text, result.start or 0.0, seen.partials))
                    seen.partials = []
                else:
                    seen.partials.append((now, len(result.text.split())))
                    # Add a millisecond, because seconds come as float32.
                    heard_s = (result.seconds - AFTER_S + 1e-3) // CHUNK_S * CHUNK_S
                    seen.lags.append(now - (heard_s - CHUNK_S))
            return seen

        return await asyncio.gather(*(one(index, what) for index, what in enumerate(scripts)))


def figures(scripts: Sequence[Script], streams: Sequence[Seen]) -> dict[str, Any]:
    """Return the lags in seconds, and the word error rate in percent."""
    words, firsts, finals, truth, heard = [], [], [], [], []
    for what, seen in zip(scripts, streams, strict=False):
        truth.append(" ".join(word.word for sentence in what.sentences for word in sentence.words))
        heard.append(" ".join(text for _, text, *_ in seen.finals))
        if len(seen.finals) != len(what.sentences):
            continue  # nothing shows which segment is which sentence
        for (came, text, _, partials), sentence, start in zip(seen.finals, what.sentences, what.starts_s, strict=True):
            ends = [start + word.end_s for word in sentence.words]
            finals.append(came - ends[-1])
            if partials:
                firsts.append(partials[0][0] - start - sentence.words[0].start_s)
            if len(text.split()) == len(ends):
                shown = [*partials, (came, len(ends))]
                words += [next(when for when, count in shown if count > index) - end for index, end in enumerate(ends)]
    pieces = sum(seen.pace.pieces for seen in streams)
    lags = [lag for seen in streams for lag in seen.lags]
    return {
        "partial_lag_p50_s": quantile(lags, 0.5),
        "partial_lag_p95_s": quantile(lags, 0.95),
        "word_lag_p50_s": quantile(words, 0.5),
        "word_lag_p95_s": quantile(words, 0.95),
        "first_partial_p95_s": quantile(firsts, 0.95),
        "final_p95_s": quantile(finals, 0.95),
        "words": len(words),
        "late_pieces": round(sum(seen.pace.late for seen in streams) / pieces, 4),
        "wer": wer_percent(zip(truth, heard, strict=True)),
    }


if __name__ == "__main__":
    main()

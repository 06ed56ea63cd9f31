"""Measure beam search, its language model and hotwords: recall of rare names, word error rates, and time.

    python benchmarks/decoders.py REPOSITORY [--sentences 200] [--weights 2,3,4,5,6]

Held-out voices of espeak-ng (the system package) speak held-out sentences. In half of them, a name that the demo model
has never heard replaces one word; the other half has no name, and hotwords must not change it. The lists hold these
names, and invented ones. Times are for each second of audio: of the decode step alone, in batches of 16, and of the
acoustic model, which hears one recording after the other on all cores. They leave out the preparation of a list, which
the decode step keeps for later requests. All decoders take turns in one process.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from error_rates import wer_percent
from machine import machine
from numpy.typing import NDArray
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "demo"))

from asr_contract.labels import Labels  # noqa: E402
from asr_contract.parameters import DecodeOptions  # noqa: E402
from asr_serving.ctc import language_model  # noqa: E402
from asr_serving.ctc.decoding import Decoder  # noqa: E402
from grammar import held_out_sentence  # noqa: E402
from synthesis import HELD_OUT_VOICES, SAMPLE_RATE, Augmentation, augment, synthesise  # noqa: E402

RESULT = Path(__file__).parent / "results" / "decoders.json"
PACKAGES = ("flashlight-text", "numpy", "onnxruntime", "triton-asr-kit")
_TEXT = """abernathy acme bartholomew calloway cassandra dempsey ellington faulkner gallagher hawthorne isaacson
jefferson kensington kubernetes lockhart montgomery nakamura oppenheimer pemberton prometheus quigley radcliffe
sunderland terraform trevelyan underwood vanderbilt wellington yamamoto zimmerman"""
RARE = tuple(_TEXT.split())
DECODERS = {
    "greedy": DecodeOptions(),
    "beam": DecodeOptions(decoder="beam", lm_weight=0.0),
    "beam + LM": DecodeOptions(decoder="beam"),
}
LIST_SIZES = (0, 10, 100, 1000)
BATCH = 16
ROUNDS = 5


@dataclass(frozen=True)
class Sentence:
    """One sentence, as the acoustic model hears it."""

    text: str
    name: str  # the rare name in it; "" if there is none
    audio: NDArray[np.float32]  # float32 [samples]
    log_probs: NDArray[np.float32]  # float32 [frames, vocab]


def main() -> None:
    """Measure, print tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--weights", default="2,3,4,5,6")
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    labels = Labels.load(arguments.repository / "ctc_decode" / "labels.json")
    acoustic = AcousticModel(arguments.repository)
    sentences = spoken(acoustic, arguments.sentences)
    decoder = Decoder(labels, language_model.load(arguments.repository / "ctc_decode", labels))
    weights = [
        {"weight": weight, **quality(decoder, sentences, wishes(100, weight))}
        for weight in map(float, arguments.weights.split(","))
    ]
    rows = {
        (name, size): replace(how, hotwords=wishes(size, how.hotword_weight).hotwords)
        for name, how in DECODERS.items()
        for size in LIST_SIZES
    }
    costs, acoustic_ms = cost(acoustic, decoder, sentences, rows)
    sizes = [
        {"decoder": name, "hotwords": size, **quality(decoder, sentences, asked), "ms_per_second": costs[name, size]}
        for (name, size), asked in rows.items()
    ]
    figures = {"acoustic_ms_per_second": round(acoustic_ms, 3), "weights": weights, "decoders": sizes}
    content = {"machine": machine(PACKAGES), "figures": figures}
    arguments.result.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"acoustic model: {acoustic_ms:.2f} ms for a second of audio", table(weights), table(sizes), sep="\n\n")
    print(f"written to {arguments.result}", file=sys.stderr)


class AcousticModel:
    """The repository's acoustic model, with the default settings of ONNX Runtime."""

    def __init__(self, repository: Path) -> None:
        path = repository / "acoustic" / "1" / "model.onnx"
        self._session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])

    def __call__(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-probs of one recording, float32 [frames, vocab]."""
        shape = np.array([[len(audio)]], dtype=np.int32)
        log_probs: NDArray[np.float32] = self._session.run(["log_probs"], {"audio": audio, "audio_shape": shape})[0][0]
        return log_probs


def spoken(acoustic: AcousticModel, count: int) -> list[Sentence]:
    """Return `count` sentences with a name, and as many without."""
    rng, noise = random.Random("hotwords"), np.random.default_rng(0)
    sentences = []
    for index in tqdm(range(2 * count), unit="sentence", file=sys.stderr):
        words, name = held_out_sentence(rng).split(), ""
        if index < count:
            name = RARE[index % len(RARE)]
            words[rng.randrange(len(words))] = name
        audio = augment(synthesise(" ".join(words), rng.choice(HELD_OUT_VOICES)).samples, noise, Augmentation())
        sentences.append(Sentence(" ".join(words), name, audio, acoustic(audio)))
    return sentences


def wished(size: int) -> list[str]:
    """Return `size` words: the names or the first of them, then invented names."""
    rng = random.Random("names")
    names = dict.fromkeys(RARE[:size])
    while len(names) < size:
        names["".join(map(rng.choice, ("bdfgklmnprstvwz", "aeiou", "nrls") * rng.randint(2, 3)))] = None
    return list(names)


def wishes(size: int, weight: float) -> DecodeOptions:
    """Return a request's options with that many hotwords."""
    return DecodeOptions(hotwords=",".join(wished(size)), hotword_weight=weight)


def quality(decoder: Decoder, sentences: Sequence[Sentence], asked: DecodeOptions) -> dict[str, float]:
    """Return the recall of the names in the list (without a list: of all), and word error rates in percent."""
    tasks = [decoder.task(one.log_probs, len(one.log_probs), asked) for one in sentences]
    heard = [result.best.text.lower() for result in decoder.decode(tasks)]
    names = set(filter(None, asked.hotword_text.split(","))) or set(RARE)
    named = [(one, text) for one, text in zip(sentences, heard, strict=True) if one.name in names]
    plain = [(one, text) for one, text in zip(sentences, heard, strict=True) if not one.name]
    return {
        "recall": round(100 * statistics.fmean(one.name in text.split() for one, text in named), 1),
        "wer_with_names": wer_percent((one.text, text) for one, text in named),
        "wer_without": wer_percent((one.text, text) for one, text in plain),
        "false_alarms": sum(word in names for _, text in plain for word in text.split()),
    }


def cost(
    acoustic: AcousticModel,
    decoder: Decoder,
    sentences: Sequence[Sentence],
    rows: Mapping[tuple[str, int], DecodeOptions],
) -> tuple[dict[tuple[str, int], float], float]:
    """Return the median milliseconds of the decode step, and of the acoustic model, for a second of audio."""
    seconds = sum(len(one.audio) for one in sentences) / SAMPLE_RATE
    spent: dict[tuple[str, int], list[float]] = {row: [] for row in rows}
    listening = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for one in sentences:
            acoustic(one.audio)
        listening.append(1000 * (time.perf_counter() - begin) / seconds)
        for row, asked in rows.items():
            tasks = [decoder.task(one.log_probs, len(one.log_probs), asked) for one in sentences]
            begin = time.perf_counter()
            for first in range(0, len(tasks), BATCH):
                decoder.decode(tasks[first : first + BATCH])
            spent[row].append(1000 * (time.perf_counter() - begin) / seconds)
    return {row: round(statistics.median(values), 3) for row, values in spent.items()}, statistics.median(listening)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table."""
    keys = list(rows[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    return "\n".join([*lines, *("| " + " | ".join(str(row[key]) for key in keys) + " |" for row in rows)])


if __name__ == "__main__":
    main()

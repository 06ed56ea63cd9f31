"""Measure the voice detector: what it costs, what it loses, and what it does for an acoustic model.

    python benchmarks/voice_detector.py MANIFEST [--graph MODEL.onnx --blank COLUMN] [--music FILE ...]

MANIFEST lists recordings of speech (`audio<TAB>text`; the texts are not read). The cost is processor time as a share of
the audio, beside that of the graph in the same process. The graph is a CTC model with inputs `waveform` `[1, samples]`
and `waveform_lengths` `[1]` at 16 kHz, and an output `log_probs` `[1, frames, labels]`. With it the program counts the
labels that lie outside the speech, for several rules; and it puts other sounds before and behind each recording, and
compares the labels with those of the recording alone: without the detector, with only the frames hushed, and with the
audio silenced, too. Music is read from files, which hold no speech.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import onnxruntime as ort
from asr_serving.audio import waveform
from asr_serving.audio.speech import RECOGNITION, Detector, Rules, Span, silenced
from numpy.typing import NDArray
from speech import RATE, samples_of

RULES = {
    "Silero's": Rules(),
    "Silero's, 100 ms of padding": Rules(pad_ms=100),
    "of recognition": RECOGNITION,
}
ROUNDS = 5
PIECE = RATE // 10  # samples of a live piece
LEVELS = (-3, -30, -40, -45, -50, -55)
SECONDS = 3.0  # of another sound on either side
LIMITS = waveform.Limits(RATE, 1, 86_400)

Samples = NDArray[np.float32]


class Graph:
    """The acoustic model, on one thread as the detector is."""

    def __init__(self, path: Path, blank: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.blank = blank

    def columns(self, samples: Samples) -> NDArray[np.int64]:
        """Return the best label of each frame."""
        inputs = {"waveform": samples[None], "waveform_lengths": np.array([len(samples)], np.int64)}
        best: NDArray[np.int64] = self._session.run(["log_probs"], inputs)[0][0].argmax(axis=1)
        return best

    def labels(self, columns: NDArray[np.int64]) -> str:
        """Return the labels of a path, as words."""
        return " ".join(map(str, columns[self.starts(columns)]))

    def starts(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the frames at which labels begin."""
        return np.flatnonzero((columns != self.blank) & np.append(True, columns[1:] != columns[:-1]))


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--graph", type=Path)
    parser.add_argument("--blank", type=int, default=0)
    parser.add_argument("--music", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    detector, recordings = Detector.load(), samples_of(arguments.manifest)
    music = [waveform.load(file.read_bytes(), LIMITS)[0] for file in arguments.music]
    graph = Graph(arguments.graph, arguments.blank) if arguments.graph else None
    cost(detector, recordings, graph)
    for file, samples in zip(arguments.music, music, strict=True):
        found = detector.spans(samples, rules=RECOGNITION)
        seconds = sum(end - start for start, end in found) / RATE
        print(f"{file.name}: {len(samples) / RATE:.0f} s, of which {seconds:.1f} s are taken for speech")
    losses(detector, recordings, graph)
    levels(detector, recordings)
    if graph:
        surroundings(detector, recordings, graph, music)


def cost(detector: Detector, recordings: Sequence[Samples], graph: Graph | None) -> None:
    """Print how long each takes, as a share of the audio; the shortest of some rounds, in turns."""
    ways: dict[str, Callable[[Samples], object]] = {
        "whole recordings": lambda samples: detector.spans(samples, rules=RECOGNITION),
        "pieces of 0.1 s": lambda samples: pieces(detector, samples),
    }
    if graph:
        ways["the acoustic model"] = graph.columns
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, run in ways.items():
            begin = time.process_time()
            for samples in recordings:
                run(samples)
            times[name].append(time.process_time() - begin)
    audio_s = sum(map(len, recordings)) / RATE
    print(f"\n{len(recordings)} recordings, {audio_s:.0f} s\n\n| | processor time, % of the audio |\n|---|---|")
    for name, found in times.items():
        print(f"| {name} | {100 * min(found) / audio_s:.3f} |")


def pieces(detector: Detector, samples: Samples) -> None:
    """Find the speech of a recording in live pieces."""
    stream = detector.stream(rules=RECOGNITION)
    for start in range(0, len(samples), PIECE):
        stream.push(samples[start : start + PIECE])
    stream.finish()


def losses(detector: Detector, recordings: Sequence[Samples], graph: Graph | None) -> None:
    """Print how much is taken for speech, and how many labels of the model lie outside it."""
    print("\n| rules | speech, % | recordings without speech | labels | outside the speech |\n|---|---|---|---|---|")
    heard = [graph.columns(samples) for samples in recordings] if graph else []
    for name, rules in RULES.items():
        found = [detector.spans(samples, rules=rules) for samples in recordings]
        labels = outside = 0
        if graph:
            for spans, samples, columns in zip(found, recordings, heard, strict=True):
                starts = graph.starts(columns)
                labels, outside = labels + len(starts), outside + int((~within(spans, columns, samples))[starts].sum())
        print(f"| {name} | {share(found, recordings):.1f} | {found.count([])} | {labels} | {outside} |")


def levels(detector: Detector, recordings: Sequence[Samples]) -> None:
    """Print how much of quieter recordings is taken for speech."""
    print("\n| loudest sample, dB of full scale | speech, % | recordings without speech |\n|---|---|---|")
    for level in LEVELS:
        quieter = [samples * np.float32(10 ** (level / 20) / np.abs(samples).max()) for samples in recordings]
        found = [detector.spans(samples, rules=RECOGNITION) for samples in quieter]
        print(f"| {level} | {share(found, recordings):.1f} | {found.count([])} |")


def share(found: Sequence[Sequence[Span]], recordings: Sequence[Samples]) -> float:
    """Return how much of the recordings the spans cover, in %."""
    return 100 * sum(end - start for spans in found for start, end in spans) / sum(map(len, recordings))


def within(spans: Sequence[Span], columns: NDArray[np.int64], samples: Samples) -> NDArray[np.bool_]:
    """Return whether each frame has speech."""
    stride = len(samples) / len(columns)
    frames = np.arange(len(columns)) * stride
    return np.array([any(start < at + stride and end > at for start, end in spans) for at in frames], dtype=bool)


def surroundings(detector: Detector, recordings: Sequence[Samples], graph: Graph, music: Sequence[Samples]) -> None:
    """Print the label error rates with other sounds around the recordings."""
    random = np.random.default_rng(0)
    length = int(SECONDS * RATE)

    def excerpt() -> Samples:
        one = music[random.integers(len(music))]
        start = random.integers(max(1, len(one) - length))
        return one[start : start + length]

    sounds: dict[str, Callable[[], Samples]] = {
        "digital silence": lambda: np.zeros(length, np.float32),
        "white noise, -50 dB": lambda: random.normal(0, 10**-2.5, length).astype(np.float32),
        "white noise, -26 dB": lambda: random.normal(0, 0.05, length).astype(np.float32),
    }
    if music:
        sounds["music"] = excerpt
    alone = [graph.labels(graph.columns(samples)) for samples in recordings]
    print("\n| around the speech | without | frames hushed | audio silenced, frames hushed |\n|---|---|---|---|")
    for name, sound in sounds.items():
        ways: list[list[str]] = [[], [], []]
        for samples in recordings:
            mixed = np.concatenate((sound(), samples, sound()))
            spans = detector.spans(mixed, rules=RECOGNITION)
            plain, quiet = graph.columns(mixed), graph.columns(silenced(mixed, spans))
            hushed = (np.where(within(spans, columns, mixed), columns, graph.blank) for columns in (plain, quiet))
            for found, columns in zip(ways, (plain, *hushed), strict=True):
                found.append(graph.labels(columns))
        print(f"| {name} |" + "".join(f" {100 * jiwer.wer(alone, found):.1f} |" for found in ways))


if __name__ == "__main__":
    main()

"""Measure the demo checkpoint through transformers, with greedy decoding.

python demo/evaluate_heldout.py                 fresh held-out sentences by held-out voices
python demo/evaluate_heldout.py --samples       the recordings of demo/samples
python demo/evaluate_heldout.py --timing        positions of the letters, against espeak-ng's own word times
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from asr_contract import manifest as manifests
from asr_contract.word_errors import compare
from grammar import held_out_sentence
from synthesis import HELD_OUT_VOICES, SAMPLE_RATE, Audio, Augmentation, Voice, augment, synthesise
from tqdm import tqdm
from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

HERE = Path(__file__).parent
FRAME_S = 320 / SAMPLE_RATE  # seconds from one frame of logits to the next


@dataclass(frozen=True)
class Utterance:
    """A recording and its text."""

    name: str
    audio: Audio  # [samples] at `SAMPLE_RATE`
    text: str


class Recogniser:
    """The checkpoint, loaded as any user of transformers would do it."""

    def __init__(self, checkpoint: Path) -> None:
        self.processor: Any = Wav2Vec2Processor.from_pretrained(checkpoint)  # which has no types
        model: Any = Wav2Vec2ForCTC.from_pretrained(checkpoint)
        self.model = model.eval()

    @torch.inference_mode()
    def labels(self, audio: Audio) -> list[int]:
        """Return the best label of each frame."""
        inputs = self.processor(audio, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return [int(label) for label in self.model(**inputs).logits[0].argmax(-1)]

    def transcribe(self, audio: Audio) -> str:
        return str(self.processor.decode(self.labels(audio))).lower()

    def word_frames(self, audio: Audio) -> list[tuple[str, int, int]]:
        """Return each word with the first frame of its first letter and the last frame of its last letter."""
        words: list[tuple[str, int, int]] = []
        text, first, last, frame = "", 0, 0, 0
        for label, run in groupby(self.labels(audio)):
            count = len(list(run))
            letter = self.processor.tokenizer.convert_ids_to_tokens(label)
            if letter == "|" and text:
                words.append((text.lower(), first, last))
                text = ""
            elif len(letter) == 1 and letter != "|":
                first = frame if not text else first
                text, last = text + letter, frame + count - 1
            frame += count
        return [*words, (text.lower(), first, last)] if text else words


def held_out_utterances(count: int, seed: int, clean: bool = False) -> list[Utterance]:
    """Return sentences by voices that training never uses; speed, noise and band vary as in training unless `clean`."""
    rng, noise = random.Random(f"evaluation {seed}"), np.random.default_rng(seed)
    utterances = []
    for _ in range(count):
        base = rng.choice(HELD_OUT_VOICES)
        voice = Voice(base.accent, base.variant, rate_wpm=rng.randint(140, 185), pitch=rng.randint(40, 60))
        text = held_out_sentence(rng)
        audio = synthesise(text, voice).samples
        utterances.append(Utterance(base.name, audio if clean else augment(audio, noise, Augmentation()), text))
    return utterances


def sample_utterances(manifest: Path) -> list[Utterance]:
    """Return the recordings of a manifest with the columns `audio` and `text`."""
    return [Utterance(entry.audio, read_audio(entry.path), entry.text) for entry in manifests.read(manifest)]


def read_audio(path: Path) -> Audio:
    """Read any audio file as mono float32 [samples] at `SAMPLE_RATE`."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [new for frame in container.decode(audio=0) for new in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([np.asarray(frame.to_ndarray()[0], np.float32) for frame in frames])


def report(recogniser: Recogniser, utterances: Sequence[Utterance], each: bool) -> None:
    """Print word and character error rates: of every utterance or of every voice, then of all."""
    hypotheses = [recogniser.transcribe(item.audio) for item in tqdm(utterances, unit="clip", file=sys.stderr)]
    names = list(dict.fromkeys(item.name for item in utterances))
    for name in names:
        pairs = [(item.text, text) for item, text in zip(utterances, hypotheses, strict=True) if item.name == name]
        print(f"{name:22} {compare(pairs).wer or 0:6.1%}  {pairs[0][1] if each else ''}".rstrip())
    found = compare(zip((item.text for item in utterances), hypotheses, strict=True))
    seconds = sum(len(item.audio) for item in utterances) / SAMPLE_RATE
    print(f"{len(utterances)} clips, {found.words} words, {seconds:.0f} s of audio")
    print(f"total WER {found.wer or 0:.2%}  CER {found.cer or 0:.2%}")


def report_silence(recogniser: Recogniser) -> None:
    """Print the transcripts of exact zeros, which must be empty."""
    for seconds in (0.1, 1.0, 5.0, 20.0):
        text = recogniser.transcribe(np.zeros(int(seconds * SAMPLE_RATE), np.float32))
        print(f"{seconds:4.1f} s of zeros: {text!r}")


def report_timing(recogniser: Recogniser, count: int, seed: int) -> None:
    """Print how far the letters' frames lie from espeak-ng's word times, in the clips that are recognised correctly."""
    rng = random.Random(f"timing {seed}")
    starts: list[float] = []
    ends: list[float] = []
    for _ in tqdm(range(count), unit="clip", file=sys.stderr):
        text = held_out_sentence(rng)
        speech = synthesise(text, rng.choice(HELD_OUT_VOICES))
        lead_s = rng.uniform(0.1, 0.5)
        audio = np.pad(speech.samples, (int(lead_s * SAMPLE_RATE), SAMPLE_RATE // 4))
        found = recogniser.word_frames(audio)
        if [word for word, _, _ in found] != text.split():
            continue
        starts += [found[word.index][1] * FRAME_S - lead_s - word.start_s for word in speech.words]
        ends += [(found[word.index][2] + 1) * FRAME_S - lead_s - word.end_s for word in speech.words]
    for name, errors in (("first frame of first letter - word start", starts), ("end of last letter - word end", ends)):
        print(f"{name}: {_spread(np.array(errors))}")


def _spread(errors_s: Audio) -> str:
    """Describe median and spread in ms, and the share within 40 ms, before and after removing the median."""
    centred = errors_s - np.median(errors_s)
    low, high = np.percentile(errors_s, [5, 95])
    return (
        f"{len(errors_s)} words, median {np.median(errors_s) * 1000:+.0f} ms, mean {errors_s.mean() * 1000:+.0f} ms, "
        f"deviation {errors_s.std() * 1000:.0f} ms, 5-95 % {low * 1000:+.0f} to {high * 1000:+.0f} ms, "
        f"within 40 ms {np.mean(np.abs(errors_s) <= 0.04):.1%}, after removing the median "
        f"{np.mean(np.abs(centred) <= 0.04):.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    parser.add_argument("--count", type=int, default=300, help="number of fresh sentences")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clean", action="store_true", help="no noise, band limits or silence around the sentences")
    parser.add_argument("--samples", action="store_true", help="use the recordings instead of fresh sentences")
    parser.add_argument("--timing", action="store_true", help="measure word times instead of word errors")
    arguments = parser.parse_args()
    recogniser = Recogniser(arguments.checkpoint)
    if arguments.timing:
        report_timing(recogniser, arguments.count, arguments.seed)
    elif arguments.samples:
        report_silence(recogniser)
        report(recogniser, sample_utterances(HERE / "samples" / "manifest.tsv"), each=True)
    else:
        report(recogniser, held_out_utterances(arguments.count, arguments.seed, arguments.clean), each=False)


if __name__ == "__main__":
    main()

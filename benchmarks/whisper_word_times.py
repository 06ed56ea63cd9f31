"""Measure how far a Whisper's word times lie from the synthesiser's.

    python benchmarks/whisper_word_times.py CHECKPOINT [--clips 100]

espeak-ng speaks held-out sentences by held-out voices, and reports when each word starts and ends. PyTorch transcribes
them and gives the weights of attention; the kit's own code turns these into times. So the table shows the method, apart
from graphs and server. Words that came out wrong are left out. The benchmark needs espeak-ng's library, and the folder
of a checkpoint that understands English.
"""

import argparse
import difflib
import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from asr_serving.whisper.word_times import TextSegment, WordTime, word_times
from numpy.typing import NDArray
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from word_times import DEMO, summary

sys.path.insert(0, str(DEMO))  # its modules are neighbours, not a package

from grammar import held_out_sentence
from synthesis import HELD_OUT_VOICES, SAMPLE_RATE, synthesise

RESULT = Path(__file__).parent / "results" / "whisper_word_times.json"
FRAME_SAMPLES = 160  # 10 ms
LAYOUTS = {  # sentences, seconds of silence around them, seconds between them
    "a sentence": (1, 0.0, 0.0),
    "a sentence in 0.5 s of silence": (1, 0.5, 0.0),
    "three, 0.8 s between them": (3, 0.5, 0.8),
}


@dataclass(frozen=True)
class Clip:
    """Speech with the true times of its words."""

    samples: NDArray[np.float32]
    words: list[tuple[str, float, float]]  # word, start and end in seconds
    edges: set[int]  # indices of the words that begin or end a sentence


def clip(rng: random.Random, sentences: int, around_s: float, between_s: float) -> Clip:
    """Speak sentences in one voice."""
    voice = rng.choice(HELD_OUT_VOICES)
    words: list[tuple[str, float, float]] = []
    edges = set()
    pause = np.zeros(round(between_s * SAMPLE_RATE), np.float32)
    parts = [np.zeros(round(around_s * SAMPLE_RATE), np.float32)]
    for number in range(sentences):
        if number:
            parts.append(pause)
        start_s = sum(map(len, parts)) / SAMPLE_RATE
        speech = synthesise(held_out_sentence(rng, 1), voice)
        edges |= {len(words), len(words) + len(speech.words) - 1}
        words += [(word.word, start_s + word.start_s, start_s + word.end_s) for word in speech.words]
        parts.append(speech.samples)
    return Clip(np.concatenate([*parts, parts[0]]), words, edges)


class Whisper:
    """A checkpoint in PyTorch, and the heads whose attention is asked for."""

    def __init__(self, folder: Path, lag_s: float) -> None:
        """Load a folder in the layout of HuggingFace; `lag_s` seconds are taken from all times."""
        self.lag_s = lag_s
        self.processor = WhisperProcessor.from_pretrained(folder)
        self.model = WhisperForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
        self.model.train(False)
        self.tokens = cast(Any, self.model.generation_config)  # with fields that transformers' class does not declare
        config = self.model.config
        layers, heads = config.decoder_layers, config.decoder_attention_heads
        self.heads = {
            "alignment heads": self.tokens.alignment_heads,
            "upper half": [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)],
        }
        self.language = {"language": "en", "task": "transcribe"} if self.tokens.is_multilingual else {}

    @torch.no_grad()
    def words(self, samples: NDArray[np.float32]) -> dict[str, list[WordTime]]:
        """Transcribe up to 30 s, float32 at `SAMPLE_RATE`, and return the words by each set of heads."""
        features = self.processor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        answer = self.model.generate(features, return_timestamps=True, return_segments=True, **self.language)
        segments = []
        for segment in answer["segments"][0]:
            tokens = [token for token in segment["tokens"].tolist() if token < self.tokens.eos_token_id]
            segments.append(TextSegment(tokens, [1.0] * len(tokens), float(segment["start"]), float(segment["end"])))
        prompt = [self.tokens.decoder_start_token_id]
        if self.language:
            prompt += [self.tokens.lang_to_id["<|en|>"], self.tokens.task_to_id["transcribe"]]
        text = [token for segment in segments for token in segment.tokens]
        ids = torch.tensor([[*prompt, self.tokens.no_timestamps_token_id, *text, self.tokens.eos_token_id]])
        attention = self.model(features, decoder_input_ids=ids, output_attentions=True).cross_attentions
        return {
            name: [
                word
                for words in word_times(
                    torch.stack([attention[layer][0, head] for layer, head in heads]).numpy(),
                    segments,
                    prompt_tokens=len(prompt),
                    frames=len(samples) // FRAME_SAMPLES,
                    decode=self.processor.tokenizer.decode,
                    language="en",
                    lag_s=self.lag_s,
                )
                for word in words
            ]
            for name, heads in self.heads.items()
        }


def errors(true: Clip, told: list[WordTime]) -> Iterator[tuple[int, float, float]]:
    """Yield the index of each word that was heard right, and the errors of its start and end in seconds."""
    heard = [re.sub(r"[^a-z0-9']", "", word.word.lower()) for word in told]
    matcher = difflib.SequenceMatcher(a=[word for word, _, _ in true.words], b=heard, autojunk=False)
    for first, other, count in matcher.get_matching_blocks():
        for step in range(count):
            _, start, end = true.words[first + step]
            yield first + step, told[other + step].start - start, told[other + step].end - end


def measure(whisper: Whisper, clips: int) -> dict[str, Any]:
    """Return the figures by layout, heads, edge and place of the word."""
    rng = random.Random("word times")
    figures: dict[str, Any] = {}
    for layout, how in LAYOUTS.items():
        found: dict[str, list[tuple[bool, float, float]]] = {name: [] for name in whisper.heads}
        for _ in range(clips):
            true = clip(rng, *how)
            for name, words in whisper.words(true.samples).items():
                found[name] += [(index in true.edges, start, end) for index, start, end in errors(true, words)]
        for name, rows in found.items():
            table = np.array(rows, dtype=np.float64)
            figures[f"{layout}, {name}"] = {
                "words": len(table),
                "edges": {
                    edge: {
                        "within a sentence": summary(1000 * table[table[:, 0] == 0, column]),
                        "first and last": summary(1000 * table[table[:, 0] == 1, column]),
                    }
                    for column, edge in ((1, "start"), (2, "end"))
                },
            }
    return figures


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--clips", type=int, default=100, help="for each layout")
    parser.add_argument("--lag-s", type=float, default=0.0, help="of the checkpoint's attention")
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    figures = measure(Whisper(arguments.checkpoint, arguments.lag_s), arguments.clips)
    arguments.result.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print("| clips | words | edge | place | bias (median) | median error | 95 % within |", "|---" * 7 + "|", sep="\n")
    for name, row in figures.items():
        for edge, places in row["edges"].items():
            for place, one in places.items():
                values = f"{one['bias_ms']} ms | {one['median_ms']} ms | {one['p95_ms']} ms"
                print(f"| {name} | {row['words']} | {edge} | {place} | {values} |")


if __name__ == "__main__":
    main()

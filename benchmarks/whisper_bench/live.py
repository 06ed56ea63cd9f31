"""Live streams of human speech: how long after a word was said does it appear, and when is it there to stay?

Human recordings do not say when each word ends. So the same service places the words of each prompt, sent as a
recording. Words that the stream heard the same, in the same order, are compared: others have no time.

- First partial result: from the start of the first word of a segment.
- Word shown: from the end of a word to the first result that has so many words of its segment.
- Word stable: to the first result whose stable part, or final text, has them.
- Final: from the end of the last word of a segment to the final result.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from asr_client import AsyncClient, Audio, Client
from asr_contract.word_errors import normalize
from error_rates import wer_percent
from pacing import Pace, paced, quantile
from speech import RATE

from whisper_bench.contenders import PATIENCE_S
from whisper_bench.speech import ROOM, Joined, Prompt, join

PAUSES_S = (1.0, 2.5)
AFTER_S = 2.0  # of silence, after the last prompt


@dataclass(frozen=True)
class Placed:
    """A word of a stream, as the service hears it in a recording."""

    word: str  # normalized
    start_s: float  # of the stream
    end_s: float


@dataclass
class Segment:
    """What a caller saw of one segment."""

    shown: list[tuple[float, int, int]] = field(default_factory=list)  # (second, words, words in the stable part)
    text: str = ""  # final
    final_s: float = 0.0


@dataclass
class Seen:
    """The results of one stream."""

    pace: Pace = field(default_factory=Pace)
    segments: list[Segment] = field(default_factory=list)


def measure(url: str, streams: Sequence[Joined]) -> dict[str, Any]:
    """Play all streams at the same time; return lags in seconds and word error rates in percent."""
    prompts = list(dict.fromkeys(prompt for stream in streams for prompt in stream.prompts))
    with Client(url, timeout_s=PATIENCE_S) as client:
        items = [Audio(prompt.samples, RATE) for prompt in prompts]
        heard = [one.unwrap() for one in client.transcribe_many(items, word_timestamps=True)]
    placed = {
        prompt: [Placed(normalize(word.word), word.start, word.end) for word in one.words]
        for prompt, one in zip(prompts, heard, strict=True)
    }
    seen = asyncio.run(_play(url, streams))
    texts = {prompt: one.text for prompt, one in zip(prompts, heard, strict=True)}
    said = [prompt for stream in streams for prompt in stream.prompts]
    return {
        "streams": len(streams),
        "audio_s": round(sum(len(stream.samples) for stream in streams) / RATE, 1),
        "segments": sum(len(one.segments) for one in seen),
        "prompts": len(said),
        **lags([(placed_words(stream, placed), one) for stream, one in zip(streams, seen, strict=True)]),
        "late_pieces": round(sum(one.pace.late for one in seen) / sum(one.pace.pieces for one in seen), 4),
        "wer": wer_percent(
            (stream.text, " ".join(segment.text for segment in one.segments))
            for stream, one in zip(streams, seen, strict=True)
        ),
        "recordings_wer": wer_percent((prompt.text, texts[prompt]) for prompt in said),
    }


def placed_words(stream: Joined, placed: dict[Prompt, list[Placed]]) -> list[Placed]:
    """Return the words of a stream in its own time."""
    return [
        Placed(word.word, start + word.start_s, start + word.end_s)
        for prompt, start in zip(stream.prompts, stream.starts_s, strict=True)
        for word in placed[prompt]
    ]


def lags(streams: Sequence[tuple[list[Placed], Seen]]) -> dict[str, Any]:
    """Return quantiles of the lags over all streams; the module's docstring has the definitions."""
    first: list[float] = []
    shown: list[float] = []
    stable: list[float] = []
    final: list[float] = []
    for words, seen in streams:
        said = [word.word for word in words]
        places = [
            (segment, index) for segment in seen.segments for index in range(len(normalize(segment.text).split()))
        ]
        written = [word for segment in seen.segments for word in normalize(segment.text).split()]
        for block in SequenceMatcher(None, said, written, autojunk=False).get_matching_blocks():
            for offset in range(block.size):
                word, (segment, index) = words[block.a + offset], places[block.b + offset]
                last = len(normalize(segment.text).split()) - 1
                shown.append(_when(segment, index, 1) - word.end_s)
                stable.append(_when(segment, index, 2) - word.end_s)
                if index == 0 and segment.shown:
                    first.append(segment.shown[0][0] - word.start_s)
                if index == last:
                    final.append(segment.final_s - word.end_s)
    return {
        "words": len(shown),
        **{
            f"{name}_{label}_s": quantile(values, share)
            for name, values in (
                ("first_partial", first),
                ("word_shown", shown),
                ("word_stable", stable),
                ("final", final),
            )
            for label, share in (("p50", 0.5), ("p95", 0.95))
        },
    }


def script(prompts: Sequence[Prompt], seconds: float, index: int) -> Joined:
    """Return the speech of stream number `index`: prompts with pauses, and silence at the end."""
    joined = join(prompts, seconds, f"stream {index}", PAUSES_S)
    silence = np.random.default_rng(index).normal(0, ROOM, int(AFTER_S * RATE)).astype(np.float32)
    return Joined(np.concatenate([joined.samples, silence]), joined.prompts, joined.starts_s)


def _when(segment: Segment, index: int, column: int) -> float:
    """Return the second when a segment's word number `index` was there: shown (column 1), or stable (2)."""
    return next((row[0] for row in segment.shown if row[column] > index), segment.final_s)


async def _play(url: str, streams: Sequence[Joined]) -> list[Seen]:
    async with AsyncClient(url, timeout_s=PATIENCE_S) as client:
        await client.server_ready()  # connects

        async def one(index: int, stream: Joined) -> Seen:
            seen, current = Seen(), Segment()
            samples = (np.clip(stream.samples, -1, 1) * 32767).astype(np.int16)
            await asyncio.sleep(index / len(streams))
            seen.pace.start()
            async for result in client.stream(paced(samples, RATE, seen.pace), sampling_rate=RATE):
                if result.is_final:
                    current.text, current.final_s = result.text, seen.pace.now_s()
                    seen.segments.append(current)
                    current = Segment()
                elif result.text.strip():
                    words, stable = (len(normalize(text).split()) for text in (result.text, result.stable))
                    current.shown.append((seen.pace.now_s(), words, stable))
            return seen

        return await asyncio.gather(*(one(index, stream) for index, stream in enumerate(streams)))

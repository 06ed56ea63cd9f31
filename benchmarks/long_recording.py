"""Compare an hour in one recording with the same speech as short clips: errors, seams, speed, memory.

    python benchmarks/long_recording.py REPOSITORY [--minutes 60]

Held-out voices of espeak-ng (the system package) speak held-out sentences; each minute has another voice. The sentences
are joined twice: with pauses of 0.2 to 1.2 s between them, and without pauses, so that windows must overlap. A real
Triton transcribes the sentences as short clips, each recording alone, and three recordings at the same time. A seam is
the place where two windows meet within speech. The benchmark counts missing and extra words within a second of seams,
and elsewhere. The exit status is 1 if an aim is missed.
"""

import argparse
import asyncio
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import soundfile
from asr_client import Audio, Client, Transcription
from asr_contract.word_errors import normalize
from asr_loadtest.server_view.processes import ServerProcesses
from asr_server import TritonServer
from error_rates import wer_percent
from machine import machine
from memory import memory_mb, timed
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "demo"))

from asr_serving.long.windows import Cutter  # noqa: E402
from grammar import held_out_sentence  # noqa: E402
from synthesis import HELD_OUT_VOICES, SAMPLE_RATE, synthesise  # noqa: E402

RESULT = Path(__file__).parent / "results" / "long_recording.json"
PACKAGES = ("nvidia-pytriton", "onnxruntime", "tritonclient", "triton-asr-kit")
PAUSES_S = (0.2, 1.2)
VOICE_S = 60.0
STRIDE = 320  # of the demo checkpoint, in samples
WINDOW_S = 20.0
NEAR_SEAM_S = 1.0
TIMEOUT_S = 600.0
CONCURRENCY = 16
AT_ONCE = 3
ROUNDS = 5


@dataclass(frozen=True)
class Clip:
    """One sentence."""

    samples: NDArray[np.float32]
    words: tuple[tuple[str, float], ...]  # each with the second of its middle


@dataclass(frozen=True)
class Recording:
    """Many sentences, joined."""

    file: bytes  # WAV, 16 bits
    seconds: float
    words: tuple[tuple[str, float], ...]
    seams_s: tuple[float, ...]


def main() -> None:
    """Measure, print and write the figures; exit with 1 if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    clips = speech(60 * arguments.minutes)
    with_pauses, without = together(clips, PAUSES_S), together(clips, (0.0, 0.0))
    log: list[str] = []
    with TritonServer(arguments.repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server:
        figures = measure(server, clips, with_pauses, without)
    arguments.result.write_text(
        json.dumps({"machine": machine(PACKAGES), "figures": figures}, indent=2) + "\n", encoding="utf-8"
    )
    print(json.dumps(figures, indent=2))
    print(f"written to {arguments.result}", file=sys.stderr)
    if not all(figures["kept"].values()):
        sys.exit(1)


def speech(seconds: float) -> list[Clip]:
    """Return sentences that take so many seconds together, with the mean pause between them."""
    rng, clips, length = random.Random("long"), [], 0.0
    voices = [rng.choice(HELD_OUT_VOICES) for _ in range(int(seconds / VOICE_S) + 1)]
    while length < seconds:
        said = synthesise(held_out_sentence(rng), voices[int(length / VOICE_S)])
        words = tuple((word.word, (word.start_s + word.end_s) / 2) for word in said.words)
        clips.append(Clip(said.samples, words))
        length += len(said.samples) / SAMPLE_RATE + sum(PAUSES_S) / 2
    return clips


def together(clips: Sequence[Clip], pauses_s: tuple[float, float]) -> Recording:
    """Join all clips, with pauses of random length in this range."""
    rng, noise = random.Random("pauses"), np.random.default_rng(1)
    parts: list[NDArray[np.float32]] = []
    words, at = [], 0
    for clip in clips:
        words += [(word, at / SAMPLE_RATE + second) for word, second in clip.words]
        # Not quite silent, because no room is.
        pause = noise.normal(0, 1e-4, int(rng.uniform(*pauses_s) * SAMPLE_RATE)).astype(np.float32)
        parts += [clip.samples, pause]
        at += len(clip.samples) + len(pause)
    samples = np.concatenate(parts)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    cutter = Cutter(SAMPLE_RATE, STRIDE, WINDOW_S)
    seams = [window.end / SAMPLE_RATE for window in [*cutter.push(samples), *cutter.finish()] if window.goes_on]
    return Recording(buffer.getvalue(), len(samples) / SAMPLE_RATE, tuple(words), tuple(seams))


def measure(server: TritonServer, clips: Sequence[Clip], pauses: Recording, without: Recording) -> dict[str, Any]:
    """Measure and return all figures."""
    processes = ServerProcesses.find(server.grpc_url)
    assert processes is not None, "the server runs on this machine"
    with Client(server.grpc_url, timeout_s=TIMEOUT_S) as client:
        client.transcribe(clips[0].samples, sampling_rate=SAMPLE_RATE)
        before_mb = asyncio.run(memory_mb(processes))
        items = [Audio(clip.samples, SAMPLE_RATE) for clip in clips]
        clips_times, one_times, one_mb = [], [], 0.0
        for _ in range(ROUNDS):  # clips and recording take turns, because these machines are noisy
            begin = time.perf_counter()
            outcomes = client.transcribe_many(items, concurrency=CONCURRENCY)
            clips_times.append(time.perf_counter() - begin)
            after_clips_mb = asyncio.run(memory_mb(processes))
            one, seconds, most_mb = timed(processes, lambda: client.transcribe(pauses.file))
            one_times.append(seconds)
            one_mb = max(one_mb, most_mb)
        texts = [outcome.unwrap().text for outcome in outcomes]
        clips_s, one_s = statistics.median(clips_times), statistics.median(one_times)
        other, other_s, other_mb = timed(processes, lambda: client.transcribe(without.file))
        three, three_s, three_mb = timed(
            processes, lambda: [outcome.unwrap() for outcome in client.transcribe_many([pauses.file] * AT_ONCE)]
        )
    spoken = [" ".join(word for word, _ in clip.words) for clip in clips]
    clip_seconds = sum(len(clip.samples) for clip in clips) / SAMPLE_RATE
    clip_wer = wer_percent(zip(spoken, texts, strict=True))
    clips_rtfx = clip_seconds / clips_s
    rows = {
        "short clips": {"wer": clip_wer, "rtfx": round(clips_rtfx, 1)},
        "one recording, pauses": row(pauses, one, one_s),
        "one recording, no pauses": row(without, other, other_s),
        f"{AT_ONCE} recordings at once": {"rtfx": round(AT_ONCE * pauses.seconds / three_s, 1)},
    }
    same = {answer.text for answer in three} == {one.text}
    return {
        "clips": len(clips),
        "rounds": ROUNDS,
        "minutes": round(pauses.seconds / 60, 1),
        "rows": rows,
        "seams": {
            "of the recording with pauses": len(pauses.seams_s),
            "of the recording without": len(without.seams_s),
            "lost or doubled in a second": errors(without, normalize(other.text)),
        },
        "memory_mb": {
            "before": round(before_mb, 1),
            "after the clips": round(after_clips_mb, 1),
            "one recording, at most": round(max(one_mb, other_mb), 1),
            f"{AT_ONCE} at once, at most": round(three_mb, 1),
        },
        "kept": {
            "WER within 1 point of the clips": row(pauses, one, one_s)["wer"] <= clip_wer + 1,
            "speed 0.9 of the clips": pauses.seconds / one_s >= 0.9 * clips_rtfx,
            "three at once give the same text": same,
            "three at once do not triple the growth": three_mb - before_mb < 3 * max(one_mb - before_mb, 1),
        },
    }


def row(recording: Recording, heard: Transcription, seconds: float) -> dict[str, float]:
    """Return the word error rate in percent, and seconds of audio per second."""
    truth = " ".join(word for word, _ in recording.words)
    return {"wer": wer_percent([(truth, heard.text)]), "rtfx": round(recording.seconds / seconds, 1)}


def errors(recording: Recording, heard: str) -> dict[str, float]:
    """Return missing and extra words per second of audio, near seams and elsewhere."""
    times = np.array([second for _, second in recording.words])
    seams = np.array(recording.seams_s)
    alignment = jiwer.process_words(" ".join(word for word, _ in recording.words), heard).alignments[0]
    near = elsewhere = 0
    for chunk in alignment:
        if chunk.type in ("insert", "delete"):
            at = times[min(chunk.ref_start_idx, len(times) - 1)]
            count = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            is_near = bool((np.abs(seams - at) <= NEAR_SEAM_S).any())
            near, elsewhere = near + count * is_near, elsewhere + count * (not is_near)
    near_s = 2 * NEAR_SEAM_S * len(seams)
    return {"near": round(near / near_s, 4), "elsewhere": round(elsewhere / (recording.seconds - near_s), 4)}


if __name__ == "__main__":
    main()

"""Send thousands of broken audio files to the real server: each must get its own words or INVALID_ARGUMENT.

    python benchmarks/fuzz_audio.py REPOSITORY [--files 10000] [--seed 0]

The program sends 12 files at a time, without retries. A crash (the process of a model ends), a hang (no answer within
30 s) and any other answer are failures: the program saves the file, and the exit status is 1. Every 50 files it sends a
whole recording, which must keep its transcript.

A transcript that is not the file's own is a failure, too. In another process, `decodable` finds the samples that can be
decoded from the beginning of the file. The server gets these as raw samples, and must give the same transcript and
duration.

Before that, the program sends the longest recordings that the server takes, so that its memory reaches what they need.
Broken files are smaller: if they take more memory, it is lost. The program reads the memory every second, and fits a
straight line through the second half to get its slope.
"""

import argparse
import asyncio
import collections
import concurrent.futures
import contextlib
import io
import json
import multiprocessing
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import soundfile
from asr_client import AsrError, AsyncClient, InvalidRequest, RetryPolicy, Transcription
from asr_loadtest.server_view.processes import ServerProcesses
from asr_server import TritonServer
from fuzzing import decodable
from fuzzing.mutations import Mutant, mutant
from machine import machine
from tqdm import tqdm

SAMPLES = Path(__file__).parents[1] / "demo" / "samples"
RESULT = Path(__file__).parent / "results" / "fuzz_audio.json"
PACKAGES = ("nvidia-pytriton", "soundfile", "av", "soxr", "triton-asr-kit")
# The queue of the demo repository's model holds 16, and windows of recordings that are too long for it take four.
CALLERS = 12
WARM_UP_ROUNDS = 8
WARM_UP_S = (29.0, 60.0)  # below and above what the model takes in one piece
ANSWER_S = 30.0  # a file without an answer after that is a hang
CONTROL_EVERY = 50  # files between two whole recordings
SAMPLE_S = 1.0
READERS = 2  # processes that decode what the server has decoded
# Two answers may differ where two labels are equally likely; such a file is sent again, alone.
ATTEMPTS = 3
DURATION_S = 1e-3
# Formats that the samples lack: container, codec, sampling rate, options of the codec and of the container.
MORE_FORMATS: tuple[tuple[str, str, int, dict[str, str], dict[str, str]], ...] = (
    ("mp3", "libmp3lame", 44_100, {"flags": "+qscale", "global_quality": "590"}, {"write_xing": "0"}),
    ("adts", "aac", 16_000, {}, {}),
    ("mp4", "aac", 16_000, {}, {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}),
    ("webm", "libopus", 48_000, {}, {}),
    ("asf", "wmav2", 16_000, {"b": "64000"}, {}),
    ("amr", "libopencore_amrnb", 8_000, {"b": "12200"}, {}),
    ("mpegts", "aac", 16_000, {}, {}),
    ("matroska", "aac", 16_000, {}, {}),
    ("w64", "pcm_s16le", 16_000, {}, {}),
    ("caf", "pcm_s16le", 16_000, {}, {}),
    ("aiff", "pcm_s16be", 16_000, {}, {}),
)
MEGABYTE = 1e6


@dataclass
class Findings:
    """The answers and failures so far."""

    answers: dict[str, collections.Counter[str]] = field(default_factory=dict)  # kind -> answer -> files
    failures: list[dict[str, Any]] = field(default_factory=list)
    slowest_s: float = 0.0
    asked_again: int = 0  # files whose first two answers differ
    memory: list[tuple[float, float]] = field(default_factory=list)  # (files so far, MB)

    def add(self, kind: str, answer: str) -> None:
        """Count one answer."""
        self.answers.setdefault(kind, collections.Counter())[answer] += 1


def main() -> None:
    """Send the files, print a table and write the figures; exit with 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--save", type=Path, default=Path("build/fuzz"), help="folder for files that failed")
    arguments = parser.parse_args()
    log: list[str] = []
    with TritonServer(arguments.repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server:
        before = stubs(server.pid)
        asyncio.run(warm_up(server))
        start = time.perf_counter()
        found = asyncio.run(fuzz(server, arguments.repository, arguments.files, arguments.seed, arguments.save))
        seconds = time.perf_counter() - start
        crashes = len(before - stubs(server.pid))
    figures = {
        "files": arguments.files,
        "seed": arguments.seed,
        "seconds": round(seconds, 1),
        "crashes": crashes,
        "failures": found.failures,
        "slowest_s": round(found.slowest_s, 3),
        "asked_again": found.asked_again,
        "answers": found.answers,
        "memory": memory(found.memory),
    }
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(
        json.dumps({"machine": machine(PACKAGES), "figures": figures}, indent=2) + "\n", encoding="utf-8"
    )
    print(table(figures))
    print(f"written to {arguments.result}", file=sys.stderr)
    if crashes or found.failures:
        sys.exit(1)


def stubs(tritonserver: int) -> set[tuple[int, float]]:
    """Return the processes of models, by process id and time of creation."""
    return {
        (child.pid, child.create_time())
        for child in psutil.Process(tritonserver).children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
    }


def sources() -> list[bytes]:
    """Return the whole files, from which the broken ones are made."""
    files = [path.read_bytes() for path in sorted(SAMPLES.iterdir()) if path.suffix != ".tsv"]
    return [*files, *(encoded(*form) for form in MORE_FORMATS), gsm()]


def encoded(container: str, codec: str, rate: int, codec_options: dict[str, str], options: dict[str, str]) -> bytes:
    """Return a sample in another format; the same bytes each time."""
    file = io.BytesIO()
    fixed = {"fflags": "+bitexact", **options}
    with av.open(str(SAMPLES / "quilter.wav")) as source, av.open(file, "w", format=container, options=fixed) as target:
        stream = target.add_stream(codec, rate=rate, layout="mono", options={"flags": "+bitexact", **codec_options})
        assert isinstance(stream, av.AudioStream)
        to_rate = av.AudioResampler(rate=rate)
        for frame in [*source.decode(audio=0), None]:
            for piece in to_rate.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return file.getvalue()


def gsm() -> bytes:
    """Return a sample as libsndfile writes GSM 6.10, for which FFmpeg has no encoder."""
    file = io.BytesIO()
    samples, rate = soundfile.read(SAMPLES / "telephone.wav", dtype="int16")
    soundfile.write(file, samples, rate, format="WAV", subtype="GSM610")
    return file.getvalue()


class Oracle:
    """Compares transcripts with the content of the files, which other processes than the server read.

    Args:
        repository: the one that the server serves.
        client: a client of the server.
        found: counts the files that were sent again.
    """

    def __init__(self, repository: Path, client: AsyncClient, found: Findings) -> None:
        self._pool = concurrent.futures.ProcessPoolExecutor(
            READERS, multiprocessing.get_context("spawn"), initializer=decodable.use, initargs=(repository,)
        )
        self._client = client
        self._found = found
        self._alone = asyncio.Lock()

    async def problem(self, data: bytes, answer: Transcription) -> str | None:
        """Return why a transcript is not the file's own; None if it is."""
        own = await asyncio.get_running_loop().run_in_executor(self._pool, decodable.own, data)
        if own is None:
            return f"{answer.text!r} for a file that cannot be decoded"
        if not own.is_decodable:
            return f"{answer.text!r}, of samples that neither FFmpeg nor libsndfile gives"
        expected = await self._client.transcribe(own.samples, sampling_rate=own.sampling_rate)
        if _agree(answer, expected):
            return None
        self._found.asked_again += 1
        async with self._alone:
            for _ in range(ATTEMPTS):
                answer = await self._client.transcribe(data)
                expected = await self._client.transcribe(own.samples, sampling_rate=own.sampling_rate)
                if _agree(answer, expected):
                    return None
        return f"{answer.text!r} of {answer.duration} s; its samples say {expected.text!r} in {expected.duration} s"

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


def _agree(one: Transcription, other: Transcription) -> bool:
    return one.text == other.text and abs(one.duration - other.duration) <= DURATION_S


async def fuzz(server: TritonServer, repository: Path, files: int, seed: int, save: Path) -> Findings:
    """Send every file once, many at a time."""
    originals = sources()
    control = (SAMPLES / "quilter.wav").read_bytes()
    found = Findings()
    indices = iter(tqdm(range(files), unit="file", file=sys.stderr))
    async with AsyncClient(server.grpc_url, retry=RetryPolicy(max_attempts=1), timeout_s=ANSWER_S) as client:
        text = (await client.transcribe(control)).text
        oracle = Oracle(repository, client, found)

        async def caller() -> None:
            for index in indices:
                await send(client, oracle, index, mutant(originals, seed, index), found, save)
                if index % CONTROL_EVERY == 0:
                    await check(client, index, control, text, found)

        watching = asyncio.create_task(watch(server, found))
        try:
            await asyncio.gather(*(caller() for _ in range(CALLERS)))
        finally:
            oracle.close()
        await asyncio.sleep(2 * SAMPLE_S)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    return found


async def warm_up(server: TritonServer) -> None:
    """Send the whole files, and recordings below and above what the model takes in one piece, in several formats."""
    samples, rate = soundfile.read(SAMPLES / "short_stereo.wav", dtype="float32")
    files = sources()
    for seconds in WARM_UP_S:
        longest = np.resize(samples, (int(seconds * rate), samples.shape[1]))
        for encoding in ("WAV", "FLAC", "OGG", "MP3"):
            file = io.BytesIO()
            with soundfile.SoundFile(file, "w", rate, samples.shape[1], format=encoding) as writer:
                for start in range(0, len(longest), rate):  # libsndfile's Vorbis crashes if it gets all samples at once
                    writer.write(longest[start : start + rate])
            files.append(file.getvalue())
    async with AsyncClient(server.grpc_url) as client:
        for _ in tqdm(range(WARM_UP_ROUNDS), desc="the longest recordings first", file=sys.stderr):
            await asyncio.gather(*map(client.transcribe, files))


async def send(client: AsyncClient, oracle: Oracle, index: int, file: Mutant, found: Findings, save: Path) -> None:
    """Send one file; save it as a failure if the answer is neither its own transcript nor a refusal."""
    start = time.perf_counter()
    try:
        answer = await client.transcribe(file.data)
        found.slowest_s = max(found.slowest_s, time.perf_counter() - start)
        problem = await oracle.problem(file.data, answer)
        kind = "transcript" if problem is None else "foreign"
    except InvalidRequest:
        problem, kind = None, "refused"
    except AsrError as error:
        problem, kind = str(error), type(error).__name__
    found.add(file.kind, kind)
    if problem is not None:
        save.mkdir(parents=True, exist_ok=True)
        path = save / f"{index:05d}.bin"
        path.write_bytes(file.data)
        found.failures.append({"index": index, "kind": file.kind, "error": problem, "file": str(path)})


async def check(client: AsyncClient, index: int, control: bytes, text: str, found: Findings) -> None:
    """Send a whole recording; any answer other than its transcript is a failure."""
    try:
        said = (await client.transcribe(control)).text
        problem = None if said == text else f"another transcript: {said!r}"
    except AsrError as error:
        problem = str(error)
    if problem:
        found.failures.append({"index": index, "kind": "control", "error": problem})


async def watch(server: TritonServer, found: Findings) -> None:
    """Record the server's memory until cancelled."""
    processes = ServerProcesses.find(server.grpc_url)
    while processes is not None:
        sample = await asyncio.to_thread(processes.sample, time.monotonic())
        if sample.memory_bytes is not None:
            sent = sum(counter.total() for counter in found.answers.values())
            found.memory.append((sent, sample.memory_bytes / MEGABYTE))
        await asyncio.sleep(SAMPLE_S)


def memory(samples: list[tuple[float, float]]) -> dict[str, Any]:
    """Return the memory in MB at the start, in the middle and at the end, and the slope of the second half."""
    files, used = np.array(samples).T
    half = len(samples) // 2
    slope = float(np.polyfit(files[half:], used[half:], 1)[0]) if len(set(files[half:])) > 1 else 0.0
    part = max(1, len(samples) // 10)
    return {
        "start_mb": round(float(np.median(used[:part])), 1),
        "middle_mb": round(float(np.median(used[half : half + part])), 1),
        "end_mb": round(float(np.median(used[-part:])), 1),
        "peak_mb": round(float(used.max()), 1),
        "slope_mb_per_1000_files": round(1000 * slope, 2),
        "samples": [[int(count), round(size, 1)] for count, size in samples[:: max(1, len(samples) // 200)]],
    }


def table(figures: dict[str, Any]) -> str:
    """Return the table of docs/faults.md as Markdown."""
    used = figures["memory"]
    rows = [
        f"| {kind} | {counter['transcript']} | {counter['refused']} | "
        f"{counter.total() - counter['transcript'] - counter['refused']} |"
        for kind, counter in sorted(figures["answers"].items())
    ]
    return "\n".join(
        [
            "| made by | its own transcript | refused (INVALID_ARGUMENT) | anything else |",
            "|---|---|---|---|",
            *rows,
            "",
            f"{figures['files']} files in {figures['seconds']} s; crashes: {figures['crashes']}; failures: "
            f"{len(figures['failures'])}; asked about again: {figures['asked_again']}; slowest answer "
            f"{figures['slowest_s']} s",
            f"memory of the server: {used['start_mb']} MB after the longest recordings, {used['middle_mb']} MB "
            f"half-way, {used['end_mb']} MB at the end; {used['slope_mb_per_1000_files']} MB per 1000 files "
            "in the second half",
        ]
    )


if __name__ == "__main__":
    main()

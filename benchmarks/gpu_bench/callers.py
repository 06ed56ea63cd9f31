"""One process of callers, each of whom sends the next recording when the last one is answered.

    python benchmarks/gpu_bench/callers.py URL FOLDER CALLERS

FOLDER holds WAV files. The process prints READY after its first answer, and then reads a line "BEGIN END" of two times,
as `time.time()` gives them. Callers begin at once, and stop at END. It prints the seconds of audio and the number of
requests that were answered between the two times.
"""

import asyncio
import io
import json
import sys
import time
import wave
from pathlib import Path

from asr_client import AsyncClient

READY = "ready"
TIMEOUT_S = 120.0


async def call(url: str, folder: Path, callers: int) -> dict[str, float]:
    """Return what was answered in the measured time."""
    files = [(file.read_bytes(), _seconds(file.read_bytes())) for file in sorted(folder.glob("*.wav"))]
    found = {"audio_s": 0.0, "requests": 0.0}
    async with AsyncClient(url, timeout_s=TIMEOUT_S) as client:
        await client.transcribe(files[0][0])
        print(READY, flush=True)
        begin, end = map(float, sys.stdin.readline().split())

        async def caller(index: int) -> None:
            while time.time() < end:
                file, length_s = files[index % len(files)]
                await client.transcribe(file)
                if begin <= time.time() < end:
                    found["audio_s"] += length_s
                    found["requests"] += 1
                index += callers

        await asyncio.gather(*map(caller, range(callers)))
    return found


def _seconds(file: bytes) -> float:
    with wave.open(io.BytesIO(file)) as opened:
        return float(opened.getnframes() / opened.getframerate())


if __name__ == "__main__":
    address, recordings, number = sys.argv[1:]
    print(json.dumps(asyncio.run(call(address, Path(recordings), int(number)))))

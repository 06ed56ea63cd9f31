"""The same as a user meets it: files and arrays that went wrong elsewhere, heard by a real Triton."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from asr_client import AsyncClient, Client, QueueFull
from asr_server import TritonServer
from odd_recordings import chunk, encoded, extensible, fmt, id3, riff

pytestmark = pytest.mark.e2e

SAMPLE = Path(__file__).parents[2] / "demo" / "samples" / "quilter.wav"
SAID = "MISTER QUILTER IS THE APOSTLE OF THE MIDDLE CLASSES AND WE ARE GLAD TO WELCOME HIS GOSPEL"
SPEECH, RATE = soundfile.read(SAMPLE, dtype="int16")
FLOATS = (SPEECH / np.float32(32768)).astype(np.float32)
MIRRORED = np.stack([FLOATS, -FLOATS], axis=1).astype(np.float32)
SILENCE = np.zeros((len(FLOATS), 1), np.float32)
DATA = chunk(b"data", SPEECH.tobytes())


def mp3() -> bytes:
    return encoded("mp3", "libmp3lame", FLOATS[:, None])


FILES: dict[str, Callable[[], bytes]] = {
    "channels that cancel each other out": lambda: encoded("wav", "pcm_s16le", MIRRORED, layout="stereo"),
    "the same in AAC": lambda: encoded("ipod", "aac", MIRRORED, layout="stereo"),
    "the second track is the default": lambda: encoded("matroska", "aac", SILENCE, FLOATS[:, None], default=1),
    "a picture beside the sound": lambda: encoded("mp4", "aac", FLOATS[:, None], cover=True),
    "an ID3 tag before a WAV": lambda: id3(100_000) + riff(fmt(), DATA),
    "an ID3 tag of 5 MB": lambda: id3(5_000_000) + mp3(),
    "zeros before an MP3": lambda: bytes(5_000) + mp3(),
    "WAVE_FORMAT_EXTENSIBLE": lambda: riff(extensible(), DATA),
    "floats far beyond 1": lambda: riff(fmt(3, bits=32), chunk(b"data", (1_000 * FLOATS).astype("<f4").tobytes())),
    "a constant added": lambda: riff(fmt(3, bits=32), chunk(b"data", (FLOATS + 0.5).astype("<f4").tobytes())),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_heard(name: str, client: Client) -> None:
    answer = client.transcribe(FILES[name]())
    assert answer.text == SAID
    assert answer.duration == pytest.approx(len(SPEECH) / RATE, abs=0.15)


ARRAYS: dict[str, Callable[[], np.ndarray]] = {
    "float64": lambda: FLOATS.astype(np.float64),
    "float16": lambda: FLOATS.astype(np.float16),
    "big-endian": lambda: FLOATS.astype(">f4"),
    "integers as floats": lambda: SPEECH.astype(np.float32),
    "every second sample of a longer one": lambda: np.repeat(FLOATS, 2)[::2],
    "read-only": lambda: np.frombuffer(FLOATS.tobytes(), np.float32),
    "one column": lambda: FLOATS[:, None],
    "channels first, turned": lambda: np.stack([FLOATS, FLOATS]).T,
    "channels that cancel each other out": lambda: MIRRORED,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_heard(name: str, client: Client) -> None:
    assert client.transcribe(ARRAYS[name](), sampling_rate=RATE).text == SAID


def test_zeros_at_the_end_arrive(client: Client, server: TritonServer) -> None:
    samples = np.concatenate([SPEECH, np.zeros(RATE, np.int16)])
    with Client(server.http_url, protocol="http") as over_http:
        for connected in (client, over_http):
            answer = connected.transcribe(samples.tobytes(), encoding="pcm_s16le", sampling_rate=RATE)
            assert (answer.text, answer.duration) == (SAID, pytest.approx(len(samples) / RATE, abs=1e-4))


def test_more_than_grpcs_own_limit_of_4_mb_goes_in_one_request(client: Client, server: TritonServer) -> None:
    eight = np.repeat(FLOATS[:, None], 16, axis=1)
    assert eight.nbytes > 5_000_000
    with Client(server.http_url, protocol="http") as over_http:
        assert [one.transcribe(eight, sampling_rate=RATE).text for one in (client, over_http)] == [SAID] * 2


def test_a_live_stream_of_channels_that_cancel_each_other_out(client: Client) -> None:
    def finals() -> list[str]:
        chunks = np.array_split(MIRRORED, 20)
        return [result.text for result in client.stream(chunks, sampling_rate=RATE) if result.is_final]

    # Streams that another test has left lying block new ones until they have been idle for ten seconds.
    deadline = time.monotonic() + 60
    while True:
        try:
            said = finals()
            break
        except QueueFull:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    assert " ".join("".join(said).split()) == SAID


def test_an_async_client_goes_from_one_loop_to_the_next(server: TritonServer) -> None:
    client = AsyncClient(server.grpc_url)
    answers = [asyncio.run(client.transcribe(SAMPLE)).text for _ in range(2)]
    asyncio.run(client.aclose())
    assert answers == [SAID] * 2

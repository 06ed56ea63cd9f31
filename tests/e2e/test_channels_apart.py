"""Channels one by one through a real Triton: each says what the file of it alone says."""

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from asr_client import AsyncClient, Audio, Client, InvalidRequest, Transcription
from asr_client._calls.channels import OneChannel
from asr_client._turns import by_speaker
from asr_server import TritonServer
from odd_recordings import encoded

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e
RATE = 16_000
OFFSET_S = 2.0  # that the second speaker begins later


def demo(name: str) -> np.ndarray:
    samples, rate = soundfile.read(ROOT / "demo" / "samples" / name, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return np.asarray(mono if rate == RATE else soxr.resample(mono, rate, RATE), np.float32)


def exact(samples: np.ndarray) -> np.ndarray:
    """The samples as 16 bits hold them."""
    return (np.round(np.clip(samples, -1, 0.999) * 32768) / 32768).astype(np.float32)


@pytest.fixture(scope="module")
def sides() -> np.ndarray:
    """Two recordings of the demo, one in each channel, float32 `[samples, 2]`."""
    left, right = demo("quilter.wav"), demo("plain.flac")
    right = np.concatenate([np.zeros(int(OFFSET_S * RATE), np.float32), right])
    length = max(len(left), len(right))
    return exact(np.stack([np.pad(side, (0, length - len(side))) for side in (left, right)], axis=1))


def written(samples: np.ndarray, form: str = "WAV", rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype="PCM_16")
    return buffer.getvalue()


def alone(client: Client, samples: np.ndarray, rate: int = RATE, **options: object) -> list[Transcription]:
    """What the files of each channel say."""
    return [
        client.transcribe(written(side, "WAV", rate), word_timestamps=True, **options)  # type: ignore[arg-type]
        for side in samples.T
    ]


def says_what_they_say(heard: Transcription, expected: list[Transcription]) -> bool:
    """Whether each speaker says what the file of the channel says, word by word, at the same times."""
    said = dict(by_speaker(heard))
    for number, channel in enumerate(expected):
        part = said[str(number)]
        assert part.text == channel.text != ""
        assert [(word.word, word.start, word.end) for word in part.words] == [
            (word.word, word.start, word.end) for word in channel.words
        ]
    return len(said) == len(expected)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "W64"])
def test_each_channel_says_what_the_file_of_it_says(client: Client, sides: np.ndarray, form: str) -> None:
    heard = client.transcribe(written(sides, form), channels="separate")
    assert says_what_they_say(heard, alone(client, sides))
    starts = [segment.start for segment in heard.segments]
    assert starts == sorted(starts)
    assert heard.segments[0].speaker == "0"


def test_telephone_and_studio_rates(client: Client, sides: np.ndarray) -> None:
    for rate in (8_000, 44_100):
        samples = exact(np.stack([soxr.resample(side, RATE, rate) for side in sides.T], axis=1))
        heard = client.transcribe(written(samples, rate=rate), channels="separate")
        assert says_what_they_say(heard, alone(client, samples, rate))


def test_arrays_raw_samples_http_and_asyncio_say_the_same(
    client: Client, server: TritonServer, sides: np.ndarray
) -> None:
    expected = client.transcribe(written(sides), channels="separate")
    whole = (sides * 32768).astype("<i2")

    async def asynchronously() -> Transcription:
        async with AsyncClient(server.grpc_url) as other:
            return await other.transcribe(io.BytesIO(written(sides)), channels="separate")

    assert client.transcribe(whole, sampling_rate=RATE, channels="separate") == expected
    raw = Audio(whole.tobytes(), RATE, "pcm_s16le", 2)
    assert client.transcribe(raw, channels="separate") == expected
    assert asyncio.run(asynchronously()) == expected
    with Client(server.http_url, protocol="http") as http:
        assert http.transcribe(written(sides), channels="separate") == expected


@pytest.mark.parametrize(("form", "codec"), [("mp3", "libmp3lame"), ("ipod", "aac")])
def test_compressed_files(client: Client, sides: np.ndarray, form: str, codec: str) -> None:
    heard = client.transcribe(encoded(form, codec, sides, layout="stereo"), channels="separate")
    speakers = dict(by_speaker(heard))
    expected = alone(client, sides)
    for number in range(2):
        words, others = set(speakers[str(number)].text.split()), set(expected[1 - number].text.split())
        own = set(expected[number].text.split())
        assert len(words & own) > 0.7 * len(own)
        assert len(words & (others - own)) < 0.3 * len(others - own)


def test_a_mirror_image_is_heard_mixed_and_apart(client: Client, sides: np.ndarray) -> None:
    voice = sides[:, 0]
    mirrored = exact(np.stack([voice, -voice], axis=1))
    expected = client.transcribe(written(voice)).text
    assert client.transcribe(written(mirrored)).text == expected != ""
    assert dict(by_speaker(client.transcribe(written(mirrored), channels="separate")))["0"].text == expected


def test_mono_and_the_same_in_both_channels_are_one_speaker(client: Client, sides: np.ndarray) -> None:
    voice = sides[:, 0]
    expected = client.transcribe(written(voice)).text
    for samples in (voice, np.stack([voice, voice], axis=1)):
        heard = client.transcribe(written(samples), channels="separate")
        assert heard.text.replace("\n", " ") == expected
        assert {segment.speaker for segment in heard.segments} == {"0"}


def test_six_channels_of_which_two_speak(client: Client, sides: np.ndarray) -> None:
    six = np.zeros((len(sides), 6), np.float32)
    six[:, 2], six[:, 5] = sides[:, 0], sides[:, 1]
    said = dict(by_speaker(client.transcribe(written(six), channels="separate")))
    assert said.keys() == {"2", "5"}
    assert [part.text for part in said.values()] == [part.text for part in alone(client, sides)]


def test_a_long_recording(client: Client, sides: np.ndarray) -> None:
    pause = np.zeros((RATE, 2), np.float32)
    samples = np.concatenate([part for _ in range(10) for part in (sides, pause)])
    told: list[Transcription] = []
    heard = client.transcribe(written(samples), channels="separate", on_segment=told.append)
    assert heard.duration > 60
    assert says_what_they_say(heard, alone(client, samples))
    starts = [segment.start for segment in heard.segments]
    assert starts == sorted(starts)
    assert len({segment.speaker for segment in heard.segments[:4]}) == 2  # merged in time, not one after the other
    assert len(told) > 2
    assert "".join(part.text for part in told) == heard.text
    assert [part.duration for part in told] == sorted({part.duration for part in told})


def test_a_file_object_of_any_size(server: TritonServer, client: Client, sides: np.ndarray, tmp_path: Path) -> None:
    samples = np.concatenate([sides] * 12)
    path = tmp_path / "call.wav"
    path.write_bytes(written(samples))
    expected = client.transcribe(path, channels="separate")
    with Client(server.grpc_url, max_message_bytes=2**20) as small, path.open("rb") as file:
        assert small.transcribe(file, channels="separate") == expected


def test_a_channel_that_is_not_there(client: Client, sides: np.ndarray) -> None:
    with pytest.raises(InvalidRequest, match="the recording has 2 channels; of_channels=3 needs 3"):
        client.transcribe(written(sides), options=OneChannel(channel=0, of_channels=3))
    long = written(np.concatenate([sides] * 12))
    with pytest.raises(InvalidRequest, match="the recording has 2 channels; channel=2 needs 3 or more"):
        client.transcribe(long, options=OneChannel(channel=2, of_channels=2))
    assert client.transcribe(written(sides)).text  # the server goes on


def test_with_other_options(client: Client, sides: np.ndarray) -> None:
    options = {"vad": True, "decoder": "beam", "hotwords": "QUILTER"}
    heard = client.transcribe(written(sides), channels="separate", **options)  # type: ignore[arg-type]
    assert says_what_they_say(heard, alone(client, sides, **options))


def test_the_command(client: Client, server: TritonServer, sides: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "call.flac"
    path.write_bytes(written(sides, "FLAC"))
    command = [sys.executable, "-m", "triton_asr", "transcribe", "-u", server.grpc_url, "--channels", "separate"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    heard = client.transcribe(path, channels="separate")
    assert [line.partition(": ")[2] for line in done.stdout.splitlines()] == heard.text.splitlines()
    assert done.stdout.startswith("Speaker 0: ")
    done = subprocess.run([*command, "-f", "vtt", str(path)], capture_output=True, text=True, timeout=120)
    assert {"<v Speaker 0>", "<v Speaker 1>"} <= {line[: line.find(">") + 1] for line in done.stdout.splitlines()}

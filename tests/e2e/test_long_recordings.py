"""Recordings that are longer than the model takes at once, through a real Triton."""

import io
import threading
from itertools import pairwise
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
import soxr
import tritonclient.grpc as triton_grpc
from asr_client import AsyncClient, AudioTooLong, Client, DecodeOptions, InvalidRequest, Transcription
from asr_server import TritonServer
from triton_counts import settled

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e
RATE = 16_000
PAUSE_S = 0.6


@pytest.fixture(scope="module")
def sentences() -> list[np.ndarray]:
    """The demo's recordings that libsndfile reads, mono, at 16 kHz; about a minute."""
    files = [path for path in sorted((ROOT / "demo" / "samples").iterdir()) if path.suffix in (".wav", ".flac", ".ogg")]
    read = [soundfile.read(file, dtype="float32", always_2d=True) for file in files]
    return [soxr.resample(samples.mean(axis=1), rate, RATE).astype(np.float32) for samples, rate in read]


@pytest.fixture(scope="module")
def long_one(sentences: list[np.ndarray]) -> np.ndarray:
    """All of them twice, with pauses."""
    pause = np.zeros(int(PAUSE_S * RATE), np.float32)
    return np.concatenate([part for sentence in sentences * 2 for part in (sentence, pause)])


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def heard(client: Client, long_one: np.ndarray) -> Transcription:
    return client.transcribe(wav(long_one), word_timestamps=True)


def test_a_long_recording_says_what_its_sentences_say(
    client: Client, sentences: list[np.ndarray], long_one: np.ndarray, heard: Transcription
) -> None:
    assert len(long_one) / RATE > 80
    alone = [client.transcribe(sentence, sampling_rate=RATE).text for sentence in sentences]
    assert jiwer.wer(" ".join(alone * 2), heard.text) <= 0.05
    assert heard.duration == pytest.approx(len(long_one) / RATE, abs=0.01)
    assert 0.5 < heard.confidence <= 1


def test_words_are_where_they_were_said(sentences: list[np.ndarray], heard: Transcription) -> None:
    starts = [word.start for word in heard.words]
    assert " ".join(word.word for word in heard.words) == heard.text
    assert starts == sorted(starts)
    # No word lies in a pause between two sentences.
    at = 0.0
    for sentence in sentences * 2:
        end = at + len(sentence) / RATE
        assert not [word for word in heard.words if end + 0.1 < (word.start + word.end) / 2 < end + PAUSE_S - 0.1]
        at = end + PAUSE_S


def test_segments_come_as_they_are_ready(client: Client, long_one: np.ndarray, heard: Transcription) -> None:
    segments: list[Transcription] = []
    answer = client.transcribe(long_one, sampling_rate=RATE, on_segment=segments.append)
    assert len(segments) > 2
    assert "".join(segment.text for segment in segments) == answer.text
    done = [segment.duration for segment in segments]
    assert done == sorted(done)
    assert jiwer.wer(heard.text, answer.text) <= 0.02  # float samples, and not of 16 bits


def test_a_file_larger_than_a_message_goes_in_pieces(
    server: TritonServer, tmp_path: Path, long_one: np.ndarray, heard: Transcription
) -> None:
    file = tmp_path / "long.wav"
    file.write_bytes(wav(long_one))
    with Client(server.grpc_url, max_message_bytes=2 * 2**20) as small:
        assert file.stat().st_size > 2 * 2**20
        assert small.transcribe(file).text == heard.text
        with file.open("rb") as opened:
            assert small.transcribe(opened).text == heard.text


class Once:
    """A recording that can be read only once."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(size)


def test_a_recording_that_can_be_read_only_once_has_any_size(
    server: TritonServer, long_one: np.ndarray, heard: Transcription
) -> None:
    import asyncio

    data = wav(long_one)

    async def ask() -> str:
        async with AsyncClient(server.grpc_url, max_message_bytes=2**20) as small:
            return (await small.transcribe(Once(data))).text

    with Client(server.grpc_url, max_message_bytes=2**20) as small:
        assert small.transcribe(Once(data)).text == heard.text
    assert asyncio.run(ask()) == heard.text


def received(server: TritonServer) -> int:
    """Recordings that the ensemble has received so far, those that it refused among them."""
    return settled(server, "preprocess").inferences


def test_what_is_known_to_be_too_long_travels_once(server: TritonServer, long_one: np.ndarray) -> None:
    before = received(server)
    with Client(server.grpc_url) as client:
        for recording in (wav(long_one), io.BytesIO(wav(long_one))):
            assert client.transcribe(recording).duration == pytest.approx(len(long_one) / RATE, abs=0.01)
        assert client.transcribe(long_one, sampling_rate=RATE).duration == pytest.approx(len(long_one) / RATE, abs=0.01)
    assert received(server) == before
    with Client(server.http_url, protocol="http") as client, pytest.raises(AudioTooLong) as caught:
        client.transcribe(wav(long_one))  # which knows no other way
    assert caught.value.limit_s == 40
    assert received(server) == before + 1


def test_the_windows_are_segments(client: Client, long_one: np.ndarray, heard: Transcription) -> None:
    told: list[Transcription] = []
    answer = client.transcribe(long_one, sampling_rate=RATE, on_segment=told.append)
    assert len(answer.segments) == len([part for part in told if part.text])
    assert answer.segments[0].start == 0
    assert all(before.end <= after.start for before, after in pairwise(answer.segments))
    assert " ".join(segment.text for segment in answer.segments) == answer.text
    assert " ".join(segment.text for segment in heard.segments) == heard.text
    assert len(heard.segments) >= len(answer.segments)  # with words, windows are divided at pauses
    assert {segment.avg_logprob for segment in heard.segments} == {None}


def test_several_at_a_time_and_by_the_async_client(
    server: TritonServer, long_one: np.ndarray, heard: Transcription, client: Client
) -> None:
    import asyncio

    recordings = [wav(long_one)] * 3
    assert [outcome.unwrap().text for outcome in client.transcribe_many(recordings)] == [heard.text] * 3

    async def ask() -> list[str]:
        async with AsyncClient(server.grpc_url) as asking:
            outcomes = await asking.transcribe_many([*recordings[:2], ROOT / "demo" / "samples" / "quilter.wav"])
            return [outcome.unwrap().text for outcome in outcomes]

    first, second, short = asyncio.run(ask())
    assert (first, second) == (heard.text, heard.text)
    assert short.startswith("MISTER QUILTER")


def test_hotwords_and_beam_search(client: Client, long_one: np.ndarray) -> None:
    options = DecodeOptions(decoder="beam", hotwords="singar", lm_weight=0.5)
    assert " SINGAR" in client.transcribe(wav(long_one), options=options).text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-5000], "WAV is cut short"),
        (lambda data: b"no audio at all " * 200_000, "cannot read this as audio"),
    ],
)
def test_what_is_not_audio_is_refused(
    server: TritonServer, tmp_path: Path, long_one: np.ndarray, change: object, message: str
) -> None:
    file = tmp_path / "broken.wav"
    file.write_bytes(change(wav(long_one)))  # type: ignore[operator]
    with Client(server.grpc_url, max_message_bytes=2**20) as small, pytest.raises(InvalidRequest, match=message):
        small.transcribe(file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DecodeOptions(hotwords="Zürich"), "hotword 'Zürich' has 'ü'"),
        (DecodeOptions(decoder="beam", nbest=3), "nbest"),
    ],
)
def test_options_are_checked_before_the_work(
    client: Client, long_one: np.ndarray, options: DecodeOptions, message: str
) -> None:
    segments: list[Transcription] = []
    with pytest.raises(InvalidRequest, match=message):
        client.transcribe(wav(long_one), options=options, on_segment=segments.append)
    assert segments == []


def test_a_piece_without_a_beginning_is_refused_and_harms_nobody(
    server: TritonServer, long_one: np.ndarray, heard: Transcription, client: Client
) -> None:
    said: list[object] = []
    answered = threading.Event()

    def note(result: object, error: object) -> None:
        said.append(error)
        answered.set()

    with triton_grpc.InferenceServerClient(server.grpc_url) as raw:
        audio = triton_grpc.InferInput("AUDIO", [1, 1], "BYTES")
        audio.set_data_from_numpy(np.array([[b"RIFF"]], dtype=object))
        raw.start_stream(note)
        raw.async_stream_infer("asr_long", [audio], sequence_id=77, sequence_end=True)
        assert answered.wait(10)
        raw.stop_stream()
    assert said[0] is not None
    assert client.transcribe(wav(long_one)).text == heard.text

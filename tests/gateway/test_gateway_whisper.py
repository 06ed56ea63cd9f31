"""OpenAI's SDK against a gateway before a Whisper in a real Triton; its weights are random, and so are its texts."""

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import exports
import gateway_service
import numpy as np
import openai
import pytest
import soundfile
from asr_client import Client
from asr_contract.languages import NAMES
from asr_export import ExportOptions
from asr_server import TritonServer

pytestmark = pytest.mark.e2e
QUILTER = exports.DEMO.parent / "samples" / "quilter.wav"


@pytest.fixture(scope="module")
def server(
    whisper_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    options = ExportOptions(name="whisper", max_audio_seconds=60)
    made = exports.exported(whisper_checkpoint("multilingual"), options)
    repository = Path(shutil.copytree(made, tmp_path_factory.mktemp("whisper") / "models"))
    shutil.rmtree(repository / "whisper_stream")  # one process less
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.grpc_url, model="whisper") as connected:
        yield connected


@pytest.fixture(scope="module")
def clip(client: Client) -> tuple[str, bytes]:
    """The beginning of the recording, as much of it as makes this model say some words."""
    samples, rate = soundfile.read(QUILTER, dtype="int16")
    for seconds in (0.7, 1.2, 2.0, 3.1, 4.5):
        file = wav(samples[: int(seconds * rate)], rate)
        if len(client.transcribe(file, word_timestamps=True, timestamps=True).words) > 1:
            return "clip.wav", file
    raise AssertionError("the model says nothing")


def wav(samples: np.ndarray, rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def sdk(server: TritonServer) -> Iterator[openai.OpenAI]:
    with (
        gateway_service.running(server.grpc_url, "--model", "whisper") as gateway,
        openai.OpenAI(base_url=gateway.api, api_key="any", max_retries=0) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def audio(sdk: openai.OpenAI) -> Any:
    """The part of the SDK that transcribes."""
    return sdk.audio


def test_words_and_segments_are_those_of_grpc(audio: Any, client: Client, clip: tuple[str, bytes]) -> None:
    answer = audio.transcriptions.create(
        file=clip, model="", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    heard = client.transcribe(clip[1], word_timestamps=True, timestamps=True)
    assert heard.words
    assert (answer.text, answer.task, answer.language) == (heard.text, "transcribe", NAMES[str(heard.language)])
    words = [(word.word, word.start, word.end) for word in answer.words]
    assert words == [(word.word.strip(), word.start, word.end) for word in heard.words]
    assert "".join(segment.text for segment in answer.segments) == heard.text
    for told, segment in zip(answer.segments, heard.segments, strict=True):
        assert (told.start, told.end) == (round(segment.start, 3), round(segment.end, 3))
        assert told.avg_logprob == pytest.approx(segment.avg_logprob, abs=1e-6)
        assert told.no_speech_prob == pytest.approx(segment.no_speech_prob, abs=1e-6)
        assert told.compression_ratio == pytest.approx(segment.compression_ratio, abs=1e-6)


def test_a_language_may_have_a_region(audio: Any, client: Client, clip: tuple[str, bytes]) -> None:
    answer = audio.transcriptions.create(file=clip, model="whisper-1", language="de-CH", response_format="verbose_json")
    assert (answer.language, answer.text) == ("german", client.transcribe(clip[1], language="de", timestamps=True).text)


def test_an_unknown_language_is_told_which_there_are(audio: Any, clip: tuple[str, bytes]) -> None:
    with pytest.raises(openai.BadRequestError, match=r"de \(german\)") as refused:
        audio.transcriptions.create(file=clip, model="whisper", language="klingon")
    assert (refused.value.code, refused.value.param) == ("unsupported_value", "language")


def test_a_prompt_is_heard(audio: Any, client: Client, clip: tuple[str, bytes]) -> None:
    answer = audio.transcriptions.create(
        file=clip, model="whisper", prompt="Mister Quilter", extra_body={"keywords": ["apostle"]}
    )
    assert answer.text == client.transcribe(clip[1], prompt="apostle. Mister Quilter").text


def test_translations(audio: Any, client: Client, clip: tuple[str, bytes]) -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        answer = audio.translations.create(file=clip, model="whisper-1", response_format="verbose_json")
    assert answer.text == client.transcribe(clip[1], task="translate", timestamps=True).text
    assert (answer.task, answer.language) == ("translate", "english")


def test_a_stream_of_a_long_recording(audio: Any) -> None:
    samples, rate = soundfile.read(QUILTER, dtype="int16")
    file = ("long.wav", wav(np.concatenate([samples, np.zeros(rate, np.int16)] * 12), rate))
    whole = audio.transcriptions.create(file=file, model="whisper")
    with audio.transcriptions.create(file=file, model="whisper", stream=True) as stream:
        *deltas, done = stream
    assert len(deltas) > 2
    assert "".join(delta.delta for delta in deltas) == done.text == whole.text


def test_channels_are_speakers(audio: Any, client: Client, clip: tuple[str, bytes]) -> None:
    left, rate = soundfile.read(io.BytesIO(clip[1]), dtype="int16")
    right = left[::-1].copy()
    file = ("call.wav", wav(np.stack([left, right], axis=1), rate))
    answer = audio.transcriptions.create(file=file, model="whisper", response_format="diarized_json")
    for number, side in enumerate((left, right)):
        alone = client.transcribe(wav(side, rate), timestamps=True)
        said = [segment for segment in answer.segments if segment.speaker == str(number)]
        assert [segment.text for segment in said] == [segment.text for segment in alone.segments]
        assert [segment.start for segment in said] == [round(segment.start, 3) for segment in alone.segments]
    assert {segment.speaker for segment in answer.segments} == {"0", "1"}


def test_channels_of_a_long_recording_are_speakers(client: Client) -> None:
    samples, rate = soundfile.read(QUILTER, dtype="int16")
    left = np.concatenate([samples, np.zeros(rate, np.int16)] * 12)
    both = np.stack([left, np.roll(left, 3 * rate)], axis=1)
    heard = client.transcribe(wav(both, rate), channels="separate", timestamps=True)
    for number, side in enumerate(both.T):
        alone = client.transcribe(wav(side, rate), timestamps=True)
        said = [segment for segment in heard.segments if segment.speaker == str(number)]
        assert [segment.text for segment in said] == [segment.text for segment in alone.segments]
        assert len(said) > 5
    speakers = [segment.speaker for segment in heard.segments]
    assert speakers != sorted(speakers)  # merged in time


def test_each_commit_of_a_session_is_a_recording_for_a_model_without_a_live_one(
    sdk: openai.OpenAI, client: Client, clip: tuple[str, bytes]
) -> None:
    samples, rate = soundfile.read(io.BytesIO(clip[1]), dtype="<i2")
    heard = client.transcribe(samples, sampling_rate=rate)
    with sdk.realtime.connect(model="whisper") as connection:
        assert connection.recv().session.audio.input.turn_detection is None  # type: ignore[union-attr]
        format_: Any = {"type": "audio/pcm", "rate": rate}
        connection.session.update(session={"type": "realtime", "audio": {"input": {"format": format_}}})
        for _ in range(2):
            connection.input_audio_buffer.append(audio=base64.b64encode(samples.tobytes()).decode())
            connection.input_audio_buffer.commit()
            transcript = next(event.transcript for event in connection if event.type.endswith("completed"))  # type: ignore[union-attr]
            assert transcript == heard.text

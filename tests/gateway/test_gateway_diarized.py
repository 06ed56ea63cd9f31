"""OpenAI's own SDK hears a call: its channels are speakers, before a real Triton."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gateway_service
import numpy as np
import openai
import pytest
import soundfile
from asr_client import Client, Transcription, formats
from asr_server import TritonServer
from openai.types.audio import TranscriptionDiarized, TranscriptionDiarizedSegment

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e
RATE = 16_000
SAMPLES = ROOT / "demo" / "samples"


@pytest.fixture(scope="module")
def audio(server: TritonServer) -> Iterator[Any]:
    """The part of the SDK that transcribes."""
    with (
        gateway_service.running(server.grpc_url) as gateway,
        openai.OpenAI(base_url=gateway.api, api_key="any", max_retries=0) as sdk,
    ):
        yield sdk.audio


def call(times: int) -> tuple[str, bytes]:
    """A file in which one speaker is answered by another, so many times."""
    left, right = (soundfile.read(SAMPLES / name, dtype="float32")[0] for name in ("quilter.wav", "plain.flac"))
    pause = RATE // 2
    turns = np.zeros((len(left) + len(right) + 2 * pause, 2), np.float32)
    turns[: len(left), 0] = left
    turns[len(left) + pause : len(left) + pause + len(right), 1] = right
    buffer = io.BytesIO()
    soundfile.write(buffer, np.concatenate([turns] * times), RATE, format="FLAC")
    return "call.flac", buffer.getvalue()


@pytest.fixture(scope="module")
def phone() -> tuple[str, bytes]:
    return call(1)


@pytest.fixture(scope="module")
def heard(client: Client, phone: tuple[str, bytes]) -> Transcription:
    """What gRPC says of it."""
    return client.transcribe(phone[1], channels="separate")


def test_diarized_json(audio: Any, phone: tuple[str, bytes], heard: Transcription) -> None:
    answer = audio.transcriptions.create(
        file=phone, model="whisper-1", response_format="diarized_json", chunking_strategy="auto"
    )
    assert isinstance(answer, TranscriptionDiarized)
    assert all(isinstance(segment, TranscriptionDiarizedSegment) for segment in answer.segments)
    assert (answer.task, answer.text, answer.usage.type) == ("transcribe", heard.text, "duration")
    assert answer.duration == pytest.approx(heard.duration, abs=0.001)
    told = [(segment.speaker, segment.text, segment.start, segment.end) for segment in answer.segments]
    assert told == [(one.speaker, one.text, round(one.start, 3), round(one.end, 3)) for one in heard.segments]
    assert len({segment.id for segment in answer.segments}) == len(answer.segments)
    assert answer.text.count("\n") == 1
    left, right = answer.text.splitlines()
    assert " ".join(one.text for one in answer.segments if one.speaker == "0") == left
    assert " ".join(one.text for one in answer.segments if one.speaker == "1") == right


def test_names_in_the_order_of_the_channels(audio: Any, phone: tuple[str, bytes]) -> None:
    answer = audio.transcriptions.create(
        file=phone, model="asr", response_format="diarized_json", known_speaker_names=["agent", "customer"]
    )
    assert {segment.speaker for segment in answer.segments} == {"agent", "customer"}
    assert answer.segments[0].speaker == "agent"


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_subtitles(audio: Any, phone: tuple[str, bytes], heard: Transcription, format: Any) -> None:
    answer = audio.transcriptions.create(
        file=phone, model="asr", response_format=format, extra_body={"channels": "separate"}
    )
    assert answer == formats.render(heard, format)
    assert "Speaker 1" in answer


@pytest.mark.parametrize("times", [1, 8])
def test_a_stream(audio: Any, times: int) -> None:
    file = call(times)
    whole = audio.transcriptions.create(file=file, model="asr", response_format="diarized_json")
    with audio.transcriptions.create(file=file, model="asr", response_format="diarized_json", stream=True) as stream:
        *told, done = stream
    segments = [event for event in told if event.type == "transcript.text.segment"]
    deltas = [event.delta for event in told if event.type == "transcript.text.delta"]
    assert [event.model_dump() for event in segments] == [segment.model_dump() for segment in whole.segments]
    assert "".join(deltas) == done.text == whole.text
    assert len(deltas) >= (3 if times > 1 else 1)  # a long one comes as it is ready
    assert {event.speaker for event in segments} == {"0", "1"}


def test_a_recording_of_one_channel_has_one_speaker(audio: Any, client: Client) -> None:
    answer = audio.transcriptions.create(
        file=Path(SAMPLES / "quilter.wav"), model="asr", response_format="diarized_json"
    )
    assert {segment.speaker for segment in answer.segments} == {"0"}
    assert answer.text == client.transcribe(SAMPLES / "quilter.wav").text


def test_samples_of_voices_are_refused(audio: Any, phone: tuple[str, bytes]) -> None:
    with pytest.raises(openai.BadRequestError, match="a speaker is a channel") as refused:
        audio.transcriptions.create(
            file=phone,
            model="asr",
            response_format="diarized_json",
            known_speaker_names=["agent"],
            known_speaker_references=["data:audio/wav;base64,UklGRg=="],
        )
    assert refused.value.code == "unsupported_value"

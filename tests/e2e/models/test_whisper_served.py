"""A Whisper, served by the real Triton beside two CTC models: its text is what transformers' `generate()` writes."""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import exports
import numpy as np
import pytest
import soundfile
from asr_client import FLUSH, Client, DeadlineExceeded, DecodeOptions, InvalidRequest, ModelInfo, StreamResult
from asr_export import ExportOptions
from asr_server import TritonServer
from reference import transformers_says
from sounds import music, noise
from triton_counts import settled
from vocabularies import PORTUGUESE, with_vocabulary
from whisper_reference import Reference

pytestmark = pytest.mark.e2e
RATE = 16_000
SAMPLES = exports.DEMO.parent / "samples"


@pytest.fixture(scope="module")
def portuguese(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portuguese") / "checkpoint"
    return with_vocabulary(tiny_checkpoint("wav2vec2-group-norm"), folder, PORTUGUESE, {})


@pytest.fixture(scope="module")
def server(
    portuguese: Path,
    whisper_checkpoint: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TritonServer]:
    made = exports.exported(whisper_checkpoint("multilingual"), ExportOptions(name="whisper", max_audio_seconds=60))
    repository = Path(shutil.copytree(made, tmp_path_factory.mktemp("whisper") / "models"))
    exports.add(repository, "en", exports.DEMO)
    exports.add(repository, "pt", portuguese)
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.grpc_url, model="whisper") as connected:
        yield connected


@pytest.fixture(scope="module")
def reference(whisper_checkpoint: Callable[[str], Path]) -> Reference:
    return Reference.load(whisper_checkpoint("multilingual"))


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return np.asarray(soundfile.read(SAMPLES / "quilter.wav", dtype="float32")[0])


def test_transcripts_of_mixed_requests_are_those_of_generate(
    client: Client, reference: Reference, speech: np.ndarray
) -> None:
    clips = [speech[: n * RATE // 10] for n in (3, 7, 12, 20, 31, 45)]
    outcomes = client.transcribe_many(
        [wav(clip) for clip in clips], concurrency=6, options=DecodeOptions(max_new_tokens=40)
    )
    for clip, outcome in zip(clips, outcomes, strict=True):
        expected = reference.generate(clip, task="transcribe", language=None, max_new_tokens=40)
        answer = outcome.unwrap()
        assert answer.text == reference.text(expected["tokens"]).strip(" ")
        assert answer.language
        assert 0 < answer.confidence <= 1
        assert answer.duration == pytest.approx(len(clip) / RATE, abs=1e-4)
        assert answer.words == ()
    assert len({outcome.unwrap().text for outcome in outcomes}) > 3


def test_the_client_chooses_among_the_models_of_one_server(
    server: TritonServer, portuguese: Path, reference: Reference, speech: np.ndarray
) -> None:
    said = {}
    for name in ("en", "pt", "whisper"):
        command = [sys.executable, "-m", "triton_asr", "transcribe", "-m", name, "-u", server.grpc_url]
        done = subprocess.run([*command, str(SAMPLES / "quilter.wav")], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        said[name] = done.stdout.strip()
    assert said["en"] == transformers_says(exports.DEMO, speech)
    assert said["pt"] == transformers_says(portuguese, speech)
    text = reference.text(reference.generate(speech, task="transcribe", language=None)["tokens"])
    assert said["whisper"] == text.strip()


def test_one_connection_serves_all_models(
    client: Client, portuguese: Path, reference: Reference, speech: np.ndarray
) -> None:
    assert client.models() == (
        ModelInfo("en", takes_long=False, takes_streams=False, knows_languages=False),
        ModelInfo("pt", takes_long=False, takes_streams=False, knows_languages=False),
        ModelInfo("whisper", takes_long=True, takes_streams=True, knows_languages=True),
    )
    said = {
        model.name: client.with_model(model.name).transcribe(speech, sampling_rate=RATE).text
        for model in client.models()
    }
    text = reference.text(reference.generate(speech, task="transcribe", language=None)["tokens"])
    assert said == {
        "en": transformers_says(exports.DEMO, speech),
        "pt": transformers_says(portuguese, speech),
        "whisper": text.strip(),
    }


def test_options_reach_the_decoder(client: Client, reference: Reference, speech: np.ndarray) -> None:
    asked = {"language": "de", "task": "translate", "max_new_tokens": 20}
    options = DecodeOptions(timestamps=True, prompt="Mister Quilter", **asked)
    answer = client.transcribe(speech[: 3 * RATE], sampling_rate=RATE, options=options)
    expected = reference.generate(speech[: 3 * RATE], prompt="Mister Quilter", return_timestamps=True, **asked)
    assert (answer.text, answer.language) == (reference.text(expected["tokens"]).strip(" "), "de")
    spoken = [(segment, reference.text(segment["tokens"].tolist()).strip()) for segment in expected["segments"]]
    assert [word.word for word in answer.words] == [text for _, text in spoken if text]
    assert answer.words[0].start == pytest.approx(float(spoken[0][0]["start"]), abs=1e-3)
    assert [segment.text for segment in answer.segments] == [word.word for word in answer.words]
    assert all(segment.avg_logprob is not None and segment.avg_logprob < 0 for segment in answer.segments)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_segments_and_words_come_together(server: TritonServer, speech: np.ndarray, protocol: str) -> None:
    url = server.grpc_url if protocol == "grpc" else server.http_url
    asked = {"language": "de", "task": "translate", "prompt": "Mister Quilter", "max_new_tokens": 20}
    clip = speech[: 3 * RATE]
    with Client(url, protocol=protocol, model="whisper") as client:
        segments = client.transcribe(clip, sampling_rate=RATE, timestamps=True, **asked)
        both = client.transcribe(clip, sampling_rate=RATE, timestamps=True, word_timestamps=True, **asked)
    assert segments.segments
    assert [segment.text for segment in both.segments] == [segment.text for segment in segments.segments]
    assert len(both.words) >= len(both.segments)
    assert both.words[0].start == pytest.approx(both.segments[0].start, abs=0.006)
    assert all(0 <= segment.start <= segment.end <= both.duration for segment in both.segments)
    assert all(0 <= (segment.no_speech_prob or 0) <= 1 and segment.temperature == 0 for segment in both.segments)


def test_a_refusal_names_what_is_valid(client: Client, speech: np.ndarray) -> None:
    with pytest.raises(InvalidRequest, match="language is 'xx'; needs auto or one of af \\(afrikaans\\), am"):
        client.transcribe(speech, sampling_rate=RATE, options=DecodeOptions(language="xx"))


def test_a_ctc_model_beside_it_answers_as_ever(server: TritonServer, speech: np.ndarray) -> None:
    with Client(server.grpc_url, model="pt") as ctc:
        answer = ctc.transcribe(speech, sampling_rate=RATE)
    assert answer.text
    assert answer.language is None


def wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_a_long_recording_comes_in_segments(server: TritonServer, speech: np.ndarray) -> None:
    pause = np.zeros(3 * RATE, np.float32)
    sentences = np.concatenate([part for _ in range(10) for part in (speech, pause)])
    told = []
    with Client(server.grpc_url, model="whisper") as client:
        whole = client.transcribe(
            sentences,
            sampling_rate=RATE,
            on_segment=told.append,
            options=DecodeOptions(max_new_tokens=5, word_timestamps=True, language="german"),
        )
    assert len(sentences) > 60 * RATE  # the limit for one request
    assert len(told) >= 10
    assert whole.text == "".join(segment.text for segment in told).strip()
    assert whole.language == "de"
    assert whole.duration == pytest.approx(len(sentences) / RATE, abs=4)
    starts = [word.start for word in whole.words]
    assert starts == sorted(starts)
    assert starts
    assert told[-1].duration > 60
    assert whole.segments == tuple(segment for part in told for segment in part.segments)
    assert [segment.start for segment in whole.segments] == sorted(segment.start for segment in whole.segments)
    assert all(segment.compression_ratio for segment in whole.segments)
    assert len(whole.segments) >= len([part for part in told if part.text.strip()])


def test_a_live_stream_ends_in_a_final_text(server: TritonServer, speech: np.ndarray) -> None:
    samples = np.concatenate((speech, np.zeros(2 * RATE, np.float32), speech))
    pieces = np.array_split((samples * 32767).astype("<i2"), 60)
    with Client(server.grpc_url, model="whisper") as client:
        results = list(
            client.stream(
                (piece.tobytes() for piece in pieces),
                sampling_rate=RATE,
                encoding="pcm_s16le",
                options=DecodeOptions(language="de", max_new_tokens=20),
            )
        )
    finals = [result for result in results if result.is_final]
    assert finals  # random weights may have no text for one of the two sentences
    assert all(final.text and final.words for final in finals)
    assert 0 <= finals[-1].start < finals[-1].end <= len(samples) / RATE


def test_a_flush_ends_a_segment_of_a_live_stream(server: TritonServer, speech: np.ndarray) -> None:
    pieces = np.array_split((speech * 32767).astype("<i2"), 30)
    asked = {"language": "de", "max_new_tokens": 20, "silence_ms": 1500}
    with Client(server.grpc_url, model="whisper") as client:

        def finals(chunks: list[Any]) -> list[StreamResult]:
            results = client.stream(chunks, sampling_rate=RATE, **asked)
            return [result for result in results if result.is_final]

        alone = finals(pieces)
        flushed = finals([FLUSH, *pieces, FLUSH, FLUSH, *pieces, FLUSH])
    assert [result.flushed for result in flushed] == [True] * 4
    text = "".join(result.text for result in alone)  # random weights may have none
    assert [result.text for result in flushed] == ["", text, "", text]
    starts = [result.start for result in flushed if result.start is not None]
    assert starts == [pytest.approx(one.start + later) for one in alone for later in (0, len(speech) / RATE)]


def test_speech_in_a_live_stream_begins_before_there_is_text(server: TritonServer, speech: np.ndarray) -> None:
    pieces = np.array_split((speech * 32767).astype("<i2"), 50)
    with Client(server.grpc_url, model="whisper") as client:
        first = next(client.stream(pieces, sampling_rate=RATE, language="de", max_new_tokens=20))
    assert (first.is_final, first.text) == (False, "")
    assert first.start == pytest.approx(0.1, abs=0.15)
    assert first.seconds < 1.0


def test_no_speech_is_no_text_with_a_voice_detector(client: Client) -> None:
    for samples in (np.zeros(3 * RATE, np.float32), music(5), noise(5)):
        answer = client.transcribe(samples, sampling_rate=RATE, vad=True, word_timestamps=True)
        assert (answer.text, answer.words) == ("", ())


def test_who_goes_leaves_the_server_idle(server: TritonServer, speech: np.ndarray) -> None:
    long = np.resize(speech, 60 * RATE)  # 30 windows and more
    before = settled(server, "whisper_whisper_generate")
    with Client(server.grpc_url, model="whisper") as client, pytest.raises(DeadlineExceeded):
        client.transcribe(long, sampling_rate=RATE, timeout_s=0.05)
    windows = settled(server, "whisper_whisper_generate", still_s=1) - before
    assert windows.answered < 25

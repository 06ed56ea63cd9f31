"""The adapters on a batch of good and bad requests: each one has its own answer."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_triton
import numpy as np
import pytest
from asr_serving.audio import waveform
from fake_triton import InferenceRequest, TritonError, answers
from recordings import speech

from tests.serving.ctc.test_greedy import LABELS, path

LIMITS = {"sampling_rate": "16000", "min_samples": "400", "max_audio_seconds": "2"}
TONE = (8_000 * np.sin(np.arange(16_000) / 20)).astype("<i2").tobytes()
PCM: dict[str, Any] = {"encoding": "pcm_s16le", "sample_rate": 16_000}


def audio_request(data: bytes, **parameters: object) -> InferenceRequest:
    return InferenceRequest({"AUDIO": np.array([[data]], dtype=object)}, **parameters)


def test_preprocess_answers_each_request_of_a_batch(tmp_path: Path) -> None:
    model = fake_triton.load("preprocess", tmp_path, LIMITS)
    good, text, cut, absurd, last = answers(
        model,
        [
            audio_request(TONE, **PCM),
            audio_request(b"text"),
            audio_request(TONE[:-1], **PCM),
            audio_request(TONE, encoding="pcm_s16le", sample_rate="1" * 5000),
            audio_request(TONE, **PCM),
        ],
    )
    assert good.error is None
    assert good.outputs["audio"].shape == (1, 16_000)
    assert good.outputs["duration"].tolist() == [[1.0]]
    assert [text.error.code, cut.error.code, absurd.error.code] == [TritonError.INVALID_ARG] * 3
    np.testing.assert_array_equal(last.outputs["audio"], good.outputs["audio"])


def test_preprocess_says_where_speech_is_if_a_next_step_wants_it(tmp_path: Path) -> None:
    model = fake_triton.load("preprocess", tmp_path, {**LIMITS, "max_audio_seconds": "20"})
    sentence = (speech() * 32767).astype("<i2").tobytes()
    requests = [
        audio_request(sentence, **PCM),
        audio_request(sentence, **PCM, vad=True),
        audio_request(TONE, **PCM, vad="true"),
        audio_request(TONE, **PCM, vad="loud"),
    ]
    for request in requests:
        request.wanted = ["audio", "duration", "speech"]
    plain, spoken, silent, wrong = answers(model, requests)
    assert plain.outputs["speech"].tolist() == [[0, len(speech())]]
    assert spoken.outputs["speech"].tolist() == [[896, len(speech())]]  # it ends before a pause would end it
    assert spoken.outputs["speech"].dtype == np.int32
    np.testing.assert_array_equal(spoken.outputs["audio"][0, 896:], plain.outputs["audio"][0, 896:])
    assert not spoken.outputs["audio"][0, :896].any()
    assert silent.outputs["speech"].tolist() == [[0, 0]]
    assert not silent.outputs["audio"].any()
    assert (str(wrong.error), wrong.error.code) == (
        "INVALID_PARAMETER: vad is 'loud'; needs true or false",
        TritonError.INVALID_ARG,
    )
    (unwanted,) = answers(model, [audio_request(sentence, **PCM, vad=True)])
    assert unwanted.outputs.keys() == {"audio", "duration"}
    np.testing.assert_array_equal(unwanted.outputs["audio"], plain.outputs["audio"])


def test_preprocess_hears_one_channel_if_a_request_says_so(tmp_path: Path) -> None:
    model = fake_triton.load("preprocess", tmp_path, LIMITS)
    both = np.stack([np.frombuffer(TONE, "<i2"), np.zeros(16_000, "<i2")], axis=1).tobytes()
    asked = [{"channel": 0}, {"channel": 1, "of_channels": 2}, {"channel": 2}, {"of_channels": 1}]
    requests = [audio_request(both, **PCM, channels=2, **one) for one in asked]
    left, right, *refused = answers(model, requests)
    (alone,) = answers(model, [audio_request(TONE, **PCM)])
    np.testing.assert_array_equal(left.outputs["audio"], alone.outputs["audio"])
    assert not right.outputs["audio"].any()
    assert [str(answer.error) for answer in refused] == [
        "INVALID_AUDIO: the recording has 2 channels; channel=2 needs 3 or more, counted from 0",
        "INVALID_AUDIO: the recording has 2 channels; of_channels=1 needs 1",
    ]


def test_what_nobody_foresaw_is_the_failure_of_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fake_triton.load("preprocess", tmp_path, LIMITS)
    load = waveform.load

    def run_out_of_memory(data: bytes, *arguments: Any) -> Any:
        if data == b"a bomb":
            raise MemoryError("a bomb")
        return load(data, *arguments)

    monkeypatch.setattr(waveform, "load", run_out_of_memory)
    bomb, good = answers(model, [audio_request(b"a bomb"), audio_request(TONE, **PCM)])
    assert bomb.error.code == TritonError.INTERNAL
    assert good.error is None


def test_preprocess_decodes_nothing_for_a_caller_who_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fake_triton.load("preprocess", tmp_path, LIMITS)
    decoded: list[bytes] = []
    load = waveform.load
    monkeypatch.setattr(waveform, "load", lambda data, *others: (decoded.append(data), load(data, *others))[1])
    requests = [audio_request(TONE, **PCM), audio_request(b"gone"), audio_request(TONE, **PCM)]
    requests[1].cancelled = True
    assert [one.error and one.error.code for one in answers(model, requests)] == [None, TritonError.CANCELLED, None]
    assert decoded == [TONE, TONE]


def test_preprocess_refuses_new_requests_when_the_server_is_about_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = tmp_path / "stopping"
    monkeypatch.setenv("TRITON_ASR_STOPPING", str(stopping))
    model = fake_triton.load("preprocess", tmp_path, LIMITS)
    (before,) = answers(model, [audio_request(TONE, **PCM)])
    stopping.touch()
    one, two = answers(model, [audio_request(TONE, **PCM) for _ in range(2)])
    assert before.error is None
    assert [one.error.code, two.error.code] == [TritonError.UNAVAILABLE] * 2
    assert one.error is not two.error  # Triton 24.10 crashes on an error that responses share


def test_preprocess_pads_to_buckets_and_tells_the_length(tmp_path: Path) -> None:
    model = fake_triton.load("preprocess", tmp_path, {**LIMITS, "bucket_samples": "16384,32000"})
    short, text, whole = answers(
        model, [audio_request(TONE, **PCM), audio_request(b"text"), audio_request(2 * TONE, **PCM)]
    )
    assert [answer.outputs["audio"].shape for answer in (short, whole)] == [(1, 16_384), (1, 32_000)]
    assert [answer.outputs["lengths"].tolist() for answer in (short, whole)] == [[[16_000]], [[32_000]]]
    assert short.outputs["lengths"].dtype == np.int32
    assert short.outputs["duration"].tolist() == [[1.0]]
    assert not short.outputs["audio"][0, 16_000:].any()
    assert text.error.code == TritonError.INVALID_ARG


def test_without_buckets_there_are_no_lengths(tmp_path: Path) -> None:
    (answer,) = answers(fake_triton.load("preprocess", tmp_path, LIMITS), [audio_request(TONE, **PCM)])
    assert answer.outputs.keys() == {"audio", "duration"}


@pytest.mark.parametrize("lengths", ["31999", "16384,", "32000,16384", "16384,16384,32000", "a,32000", "0,32000", "-1"])
def test_buckets_that_cannot_be_are_refused_at_load(lengths: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="bucket_samples"):
        fake_triton.load("preprocess", tmp_path, {**LIMITS, "bucket_samples": lengths})


@pytest.mark.parametrize("parameters", [{**LIMITS, "max_second": "3"}, {"sampling_rate": "16000"}])
def test_a_misspelt_setting_is_refused_at_load(parameters: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(Exception, match="parameters are .*; needs"):
        fake_triton.load("preprocess", tmp_path, parameters)


def test_what_the_models_behind_cannot_take_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fake_triton.load("preprocess", tmp_path, {**LIMITS, "feeds": "acoustic=16"})
    monkeypatch.setattr(model.step.backlog, "take", lambda asked: 1)
    good, one, two = answers(model, [audio_request(TONE, **PCM), audio_request(b"text"), audio_request(TONE, **PCM)])
    assert good.error is None
    assert [one.error.code, two.error.code] == [TritonError.UNAVAILABLE] * 2
    assert one.error is not two.error  # Triton 24.10 crashes on an error that responses share
    assert str(one.error).startswith("QUEUE_FULL: ")  # what the client knows a full queue by


def test_a_model_that_feeds_nobody_knows_is_refused_at_load(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="feeds is 'acoustic'; needs MODEL=REQUESTS"):
        fake_triton.load("preprocess", tmp_path, {**LIMITS, "feeds": "acoustic"})


def frames_request(log_probs: np.ndarray, frames: int, **parameters: object) -> InferenceRequest:
    return InferenceRequest({"log_probs": log_probs[None], "frames": np.array([[frames]], np.int32)}, **parameters)


@pytest.fixture
def ctc_decode(tmp_path: Path) -> Any:
    (tmp_path / "labels.json").write_text(json.dumps(asdict(LABELS)), encoding="utf-8")
    return fake_triton.load("ctc_decode", tmp_path)


def test_ctc_decode_answers_each_request_of_a_batch(ctc_decode: Any) -> None:
    broken = np.full((3, 5), np.nan, np.float32)
    answers = ctc_decode.execute(
        [
            frames_request(path("AB", width=6), 2),
            frames_request(path("A"), 1, beam=3),
            frames_request(broken, 3),
            frames_request(path("A|C", width=9), 3, word_timestamps=True),
            frames_request(path("AB"), 9),
            frames_request(np.zeros((3, 7), np.float32), 3),
            InferenceRequest({"log_probs": np.zeros((2, 3, 5), np.float32), "frames": np.ones((2, 1), np.int32)}),
        ]
    )
    assert [answer.error and answer.error.code for answer in answers] == [
        None,
        TritonError.INVALID_ARG,
        TritonError.INTERNAL,
        None,
        *[TritonError.INVALID_ARG] * 3,
    ]
    assert answers[0].outputs["TRANSCRIPT"].tolist() == [[b"AB"]]
    assert answers[0].outputs["WORDS"].tolist() == [[b"[]"]]
    assert answers[0].outputs["ALTERNATIVES"].tolist() == [[b"[]"]]
    assert answers[3].outputs["TRANSCRIPT"].tolist() == [[b"A C"]]
    assert [word["word"] for word in json.loads(answers[3].outputs["WORDS"][0, 0])] == ["A", "C"]
    assert {values.dtype for values in (answers[0].outputs["CONFIDENCE"],)} == {np.dtype(np.float32)}


def test_ctc_decode_hears_only_speech_where_it_is_told(ctc_decode: Any) -> None:
    requests = [frames_request(path("AB--C"), 5, vad=vad) for vad in (True, True, False)]
    for request in requests[1:]:
        request.inputs["speech"] = np.array([[0, 640]], np.int32)
    assert [answer.outputs["TRANSCRIPT"].tolist() for answer in ctc_decode.execute(requests)] == [
        [[b"ABC"]],
        [[b"AB"]],
        [[b"ABC"]],
    ]


def test_beam_search_and_greedy_decoding_share_a_batch(ctc_decode: Any) -> None:
    broken = np.full((3, 5), np.nan, np.float32)
    one, greedy, many, nan = ctc_decode.execute(
        [
            frames_request(path("A-B"), 3, decoder="beam"),
            frames_request(path("A-B"), 3),
            frames_request(path("A-B", width=9), 3, decoder="beam", nbest=3, word_timestamps=True),
            frames_request(broken, 3, decoder="beam"),
        ]
    )
    assert [answer.outputs["TRANSCRIPT"].tolist() for answer in (one, greedy, many)] == [[[b"AB"]]] * 3
    assert one.outputs["ALTERNATIVES"].tolist() == [[b"[]"]]
    alternatives = json.loads(many.outputs["ALTERNATIVES"][0, 0])
    assert alternatives[0]["text"] == "AB"
    assert len(alternatives) == 3
    assert [word["word"] for word in json.loads(many.outputs["WORDS"][0, 0])] == ["AB"]
    assert nan.error.code == TritonError.INTERNAL


def test_nothing_is_searched_for_a_caller_who_has_gone(ctc_decode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [frames_request(path(text), len(text), decoder="beam") for text in ("A", "B", "C")]
    requests += [frames_request(path("A"), 1)]
    requests[1].cancelled = True
    ctc_decode.execute(requests[:1])  # makes the search
    searched: list[int] = []
    search = ctc_decode.decoder._beam.search
    beam = SimpleNamespace(search=lambda found, options: (searched.append(found.argmax()), search(found, options))[1])
    monkeypatch.setattr(ctc_decode.decoder, "_beam", beam)
    responses = ctc_decode.execute(requests)
    assert [one.error and one.error.code for one in responses] == [None, TritonError.CANCELLED, None, None]
    assert searched == [LABELS.labels.index("A"), LABELS.labels.index("C")]


def test_a_batch_of_bad_requests_alone(ctc_decode: Any) -> None:
    (answer,) = ctc_decode.execute([frames_request(path("A"), 1, decoder="magic")])
    assert answer.error.code == TritonError.INVALID_ARG

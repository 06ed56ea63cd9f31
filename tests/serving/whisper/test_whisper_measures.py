"""Segments of a Whisper and the figures that judge them, against transformers' scores and openai-whisper's formulas."""

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from asr_serving.whisper.fallback import Fallback
from asr_serving.whisper.measures import Measures, compression_ratio
from asr_serving.whisper.service import Service
from asr_serving.whisper.tasks import Written
from recordings import speech
from whisper_reference import Reference

KINDS = ("multilingual", "english", "thirty-seconds")
Whisper = Callable[[str], tuple[Service, Reference]]


@pytest.fixture(scope="module")
def whisper(whisper_checkpoint: Callable[[str], Path], whisper_artefacts: Callable[[str], Path]) -> Whisper:
    return lambda kind: (Service.load(whisper_artefacts(kind)), Reference.load(whisper_checkpoint(kind)))


def clips(service: Service) -> list[np.ndarray]:
    window = service.codec.settings.window_samples
    random = np.random.default_rng(3)
    lengths = [window // 3, window, window * 5 // 2] if window < 200_000 else [window // 4]
    return [
        (np.resize(speech()[start:], length) * random.uniform(0.3, 2)).astype(np.float32)
        for length in lengths
        for start in (0, 20_000)
    ]


def generated(reference: Reference, audio: np.ndarray, **options: Any) -> list[dict[str, Any]]:
    """The segments of `generate()` that have text, with the figures that openai-whisper would give."""
    if reference.model.generation_config.is_multilingual:
        options = {"language": "de", "task": "transcribe", **options}
    answer = reference.generate(
        audio, return_timestamps=True, return_dict_in_generate=True, output_scores=True, **options
    )
    found = []
    for segment in answer["segments"]:
        scores = torch.stack(list(segment["result"]["scores"]))
        tokens = segment["result"]["sequences"][-len(scores) :]
        log_probs = scores.float().log_softmax(-1).gather(1, tokens[:, None])
        written = [token for token in tokens.tolist() if token != reference.model.generation_config.eos_token_id]
        text = reference.text(written).strip().encode()
        found.append(
            {
                "text": reference.text(segment["tokens"].tolist()).strip(),
                "start": float(segment["start"]),
                "end": float(segment["end"]),
                "avg_logprob": float(log_probs.sum()) / (len(written) + 1),
                "compression_ratio": len(text) / len(zlib.compress(text)),
            }
        )
    return [segment for segment in found if segment["text"]]


@pytest.mark.parametrize("kind", KINDS)
def test_segments_and_their_measures_are_those_of_the_scores(kind: str, whisper: Whisper) -> None:
    service, reference = whisper(kind)
    asked = {"timestamps": True, "max_new_tokens": 30, **({"language": "de"} if kind != "english" else {})}
    audio = clips(service)
    answers = service.answer([(clip, service.codec.options(asked)) for clip in audio])
    measured = 0
    for clip, answer in zip(audio, answers, strict=True):
        expected = generated(reference, clip, max_new_tokens=30)
        assert len(answer.segments) == len(expected)
        for ours, theirs in zip(answer.segments, expected, strict=True):
            assert ours["text"] == theirs.pop("text")
            assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-3)
            assert ours["avg_logprob"] < 0
            assert ours["temperature"] == 0
            assert 0 < ours["confidence"] <= 1
            measured += 1
        assert [word["word"] for word in answer.words] == [segment["text"] for segment in answer.segments]
    assert measured > len(audio) / 2
    figures = {(segment["avg_logprob"], segment["no_speech_prob"]) for answer in answers for segment in answer.segments}
    assert len(figures) > 1


def test_no_speech_is_what_the_start_token_says(whisper: Whisper) -> None:
    service, reference = whisper("multilingual")
    clip = clips(service)[0]
    (answer,) = service.answer([(clip, service.codec.options({"language": "de", "max_new_tokens": 30}))])
    start = torch.tensor([[service.codec.settings.start]])
    with torch.inference_mode():
        logits = reference.model(input_features=reference.features(clip), decoder_input_ids=start).logits[0, 0]
    expected = float(logits.softmax(-1)[service.codec.settings.no_speech])
    assert answer.segments[0]["no_speech_prob"] == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_segments_have_the_temperature_of_their_window(whisper: Whisper) -> None:
    service, _ = whisper("multilingual")
    strict = Service(service.codec, service.backend, fallback=Fallback((0.0, 0.4, 0.8), log_prob=-1e-6, no_speech=1.0))
    options = service.codec.options({"temperature_fallback": True, "max_new_tokens": 20, "language": "en"})
    answers = strict.answer([(clip, options) for clip in clips(service)[:2]])
    assert {segment["temperature"] for answer in answers for segment in answer.segments} == {0.8}


def test_with_words_a_segment_begins_and_ends_with_its_words(whisper: Whisper) -> None:
    service, _ = whisper("multilingual")
    both = service.codec.options({"timestamps": True, "word_timestamps": True, "max_new_tokens": 30, "language": "de"})
    answers = service.answer([(clip, both) for clip in clips(service)])
    assert sum(len(answer.segments) for answer in answers) > 2
    for answer in answers:
        words = [(word["start"], word["end"]) for word in answer.words]
        for segment in answer.segments:
            assert any(segment["start"] == pytest.approx(start, abs=0.006) for start, _ in words)
            assert any(segment["end"] == pytest.approx(end, abs=0.006) for _, end in words)
        assert "".join(word["word"] for word in answer.words).replace(" ", "") == "".join(
            segment["text"] for segment in answer.segments
        ).replace(" ", "")


def test_a_segment_ends_with_its_recording(whisper: Whisper) -> None:
    service, _ = whisper("multilingual")
    options = service.codec.options({"language": "de", "max_new_tokens": 5})
    (transcript,) = service.transcribe([(speech()[:8_000], options)])
    window, cut = (service.codec.answer(transcript, options, seconds) for seconds in (math.inf, 0.5))
    assert all(segment["end"] > 0.5 for segment in window.segments)  # random weights write any timestamp
    assert [(segment["start"], segment["end"]) for segment in cut.segments] == [(0.0, 0.5)]


@pytest.mark.parametrize(
    ("log_probs", "end", "expected"), [([-1.0, -2.0], -0.6, -1.2), ([-1.0, -2.0], None, -1.0), ([], -0.5, -0.5)]
)
def test_the_end_token_counts(log_probs: list[float], end: float | None, expected: float) -> None:
    written = Written([1] * len(log_probs), log_probs, end, "en", no_speech=0.25, temperature=0.4)
    assert Measures.of(written, "") == Measures(pytest.approx(expected), 0.0, 0.25, 0.4)


def test_repetition_is_that_of_the_text() -> None:
    assert compression_ratio(" again and again " * 40) > 2.4
    assert compression_ratio("Mister Quilter is the apostle of the middle classes") < 1.2
    assert compression_ratio("  ") == 0

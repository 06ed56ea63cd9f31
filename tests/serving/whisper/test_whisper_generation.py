"""The decode engine on random checkpoints: every recording of a batch gets what `generate()` writes for it alone.

108 cases: four checkpoints, recordings from one sample to several windows, all options.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_whisper
from asr_serving.whisper import graphs
from asr_serving.whisper.fallback import Fallback, compression_ratio
from asr_serving.whisper.graphs import joined
from asr_serving.whisper.recording import Transcript
from asr_serving.whisper.service import Service
from asr_serving.whisper.settings import FILE, Settings
from asr_serving.whisper.tasks import BrokenOutput
from transformers import WhisperForConditionalGeneration
from whisper_reference import Reference

SAMPLES = Path(__file__).parents[3] / "demo" / "samples"
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"timestamps": True},
    {"language": "de"},
    {"task": "translate", "timestamps": True},
    {"prompt": "Mister Quilter, middle"},
    {"prompt": "classes", "timestamps": True, "max_new_tokens": 9},
)
Whisper = Callable[[str], tuple[Service, Reference]]


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    names = ("quilter.wav", "telephone.wav")
    return np.concatenate([soundfile.read(SAMPLES / name, dtype="float32")[0] for name in names])


@pytest.fixture(scope="module")
def whisper(
    whisper_checkpoint: Callable[[str], Path], whisper_artefacts: Callable[[str], Path]
) -> Callable[[str], tuple[Service, Reference]]:
    return lambda kind: (Service.load(whisper_artefacts(kind)), Reference.load(whisper_checkpoint(kind)))


def clips(speech: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    """Stretches of speech at random places and levels."""
    random = np.random.default_rng(5)
    starts = random.integers(0, 40_000, len(lengths))
    return [
        (np.resize(speech[start:], length) * random.uniform(0.3, 2)).astype(np.float32)
        for start, length in zip(starts, lengths, strict=True)
    ]


def expected(reference: Reference, audio: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
    """What `generate()` writes: without a language it detects it, without a task it would write none."""
    options = {**options}
    timestamps = options.pop("timestamps", False)
    if reference.model.generation_config.is_multilingual:
        options = {"language": None, "task": "transcribe", **options}
    return reference.generate(audio, return_timestamps=timestamps, **options)


@pytest.mark.parametrize("kind", tiny_whisper.KINDS)
def test_a_batch_of_all_lengths_and_options_is_that_of_generate(
    kind: str, whisper: Whisper, speech: np.ndarray
) -> None:
    service, reference = whisper(kind)
    window = service.codec.settings.window_samples
    # Within one window and around its end; then recordings of several windows, which timestamps divide.
    lengths = [1, window // 3, window, window + 1, window + 160, window * 5 // 2]
    if kind == "thirty-seconds":
        lengths = [window // 4, window * 7 // 6]
    choices = [
        asked for asked in OPTIONS if service.codec.settings.languages or not asked.keys() & {"language", "task"}
    ]
    cases = [(audio, {"max_new_tokens": 30, **asked}) for audio in clips(speech, lengths) for asked in choices]
    answers = service.transcribe([(audio, service.codec.options(asked)) for audio, asked in cases])
    ended = 0
    for (audio, asked), answer in zip(cases, answers, strict=True):
        truth = expected(reference, audio, asked)
        assert isinstance(answer, Transcript)
        assert answer.tokens == truth["tokens"], (len(audio), asked)
        assert service.codec.decode(answer.tokens) == reference.text(truth["tokens"])
        assert [segment.tokens for segment in answer.segments] == [s["tokens"].tolist() for s in truth["segments"]]
        times = [time for segment in answer.segments for time in (segment.start, segment.end)]
        assert times == pytest.approx([float(s[edge]) for s in truth["segments"] for edge in ("start", "end")])
        assert 0 < answer.confidence <= 1
        ended += len(answer.tokens) < asked["max_new_tokens"]
    # The cases would prove little if all transcripts were alike, or all cut off by the limit.
    assert len({tuple(answer.tokens) for answer in answers}) > len(cases) / 4
    assert 0 < ended < len(cases)


def test_without_a_limit_the_checkpoints_own_holds(whisper: Whisper, speech: np.ndarray) -> None:
    service, reference = whisper("128-mels")
    audio = clips(speech, [16_000, 16_000, 20_000, 40_000])
    answers = service.transcribe([(clip, service.codec.options({})) for clip in audio])
    assert [answer.tokens for answer in answers] == [expected(reference, clip, {})["tokens"] for clip in audio]
    assert max(len(answer.tokens) for answer in answers) > 40


def test_the_language_is_the_one_that_is_detected(whisper: Whisper, speech: np.ndarray) -> None:
    service, reference = whisper("multilingual")
    audio = clips(speech, [8_000, 16_000, 32_000, 24_000])
    answers = service.answer([(clip, service.codec.options({"language": "auto"})) for clip in audio])
    tokens = [int(reference.model.detect_language(reference.features(clip))[0]) for clip in audio]
    assert [service.codec.settings.languages[answer.language] for answer in answers] == tokens
    assert len(set(tokens)) > 1


@pytest.mark.parametrize("max_rows", [1, 3])
@pytest.mark.parametrize("moves_rows", [True, False])  # as on a GPU, where rows stay until all are done
def test_who_comes_and_goes_meanwhile_changes_nothing(
    max_rows: int, moves_rows: bool, whisper: Whisper, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = whisper("multilingual")
    prompts = ("", "Mister Quilter", "classes, middle, gospel")
    options = [
        {"max_new_tokens": 3 + 7 * (index % 4), "prompt": prompts[index % 3], "timestamps": index % 2 == 0}
        for index in range(8)
    ]
    audio = clips(speech, [9_000, 40_000, 32_000, 1_000, 70_000, 25_000, 31_000, 5_000])
    requests = [(clip, service.codec.options(asked)) for clip, asked in zip(audio, options, strict=True)]
    wide = service.transcribe(requests)
    monkeypatch.setattr(service.backend, "moves_rows", moves_rows)
    with Service(service.codec, service.backend, max_rows=max_rows) as narrow_service:
        narrow = narrow_service.transcribe(requests)
    assert [answer.tokens for answer in narrow] == [answer.tokens for answer in wide]
    assert [answer.confidence for answer in narrow] == pytest.approx([answer.confidence for answer in wide], abs=1e-5)


def test_a_window_is_the_same_on_one_core_and_on_several(whisper_artefacts: Callable[[str], Path]) -> None:
    backend = graphs.load(whisper_artefacts("multilingual"), threads=2)
    assert backend.lanes == 2
    settings = Settings.load(whisper_artefacts("multilingual") / FILE)
    window = np.random.default_rng(0).normal(0, 1, (1, 80, settings.window_frames)).astype(np.float32)
    wide, narrow = (backend.encode(window, is_beside).tensors for is_beside in (False, True))
    assert all(np.array_equal(wide[name], narrow[name]) for name in wide)


def test_a_large_encoder_is_not_kept_twice(
    whisper_artefacts: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined, "_MOST_TWICE_BYTES", 1000)
    backend = graphs.load(whisper_artefacts("multilingual"), threads=2)
    assert backend.lanes == 1
    assert backend._narrow_encoder is backend._encoder


def test_nan_is_the_error_of_one_recording(whisper: Whisper, speech: np.ndarray) -> None:
    service, reference = whisper("multilingual")
    good, other = clips(speech, [20_000, 40_000])
    broken = np.full(16_000, np.nan, np.float32)
    option = service.codec.options({"max_new_tokens": 12, "language": "en"})
    first, bad, last = service.transcribe([(clip, option) for clip in (good, broken, other)])
    assert isinstance(bad, BrokenOutput)
    for clip, answer in ((good, first), (other, last)):
        assert answer.tokens == expected(reference, clip, {"language": "en", "max_new_tokens": 12})["tokens"]


def test_silence_and_guesses_are_judged_as_by_generate(whisper: Whisper, speech: np.ndarray) -> None:
    service, reference = whisper("multilingual")
    audio = clips(speech, [12_000, 20_000, 32_000, 60_000, 45_000, 80_000])
    probabilities = []
    for no_speech in (0.0, 1e-9, 1.0):
        limits = Fallback((0.0,), 1.35, -0.5, no_speech)
        generator = Service(service.codec, service.backend, fallback=limits)
        option = service.codec.options({"temperature_fallback": True, "timestamps": True, "max_new_tokens": 30})
        answers = generator.transcribe([(clip, option) for clip in audio])
        truth = [
            expected(
                reference,
                clip,
                {
                    "timestamps": True,
                    "max_new_tokens": 30,
                    "temperature": (0.0,),
                    "compression_ratio_threshold": limits.compression_ratio,
                    "logprob_threshold": limits.log_prob,
                    "no_speech_threshold": no_speech,
                },
            )["tokens"]
            for clip in audio
        ]
        assert [answer.tokens for answer in answers] == truth
        probabilities.append(sum(not tokens for tokens in truth))
    assert probabilities[0] > probabilities[-1]  # some windows are left out, and not all thresholds leave them out


def test_what_is_good_enough_stays_as_it_is_decoded_greedily(whisper: Whisper, speech: np.ndarray) -> None:
    service, _ = whisper("multilingual")
    lenient = Fallback((0.0, 1.0), compression_ratio=100, log_prob=-100)
    generator = Service(service.codec, service.backend, fallback=lenient)
    audio = clips(speech, [12_000, 40_000])
    greedy, checked = (
        generator.transcribe([(clip, service.codec.options({"temperature_fallback": on})) for clip in audio])
        for on in (False, True)
    )
    assert [answer.tokens for answer in greedy] == [answer.tokens for answer in checked]


def test_what_is_not_is_drawn_the_same_way_in_any_company(whisper: Whisper, speech: np.ndarray) -> None:
    service, _ = whisper("multilingual")
    strict = Fallback((0.0, 0.8, 1.0), log_prob=-1e-6, no_speech=1.0)
    generator = Service(service.codec, service.backend, fallback=strict)
    option = service.codec.options({"temperature_fallback": True, "max_new_tokens": 20, "language": "en"})
    audio = clips(speech, [12_000, 40_000, 20_000])
    together = generator.transcribe([(clip, option) for clip in audio])
    alone = [generator.transcribe([(clip, option)])[0] for clip in audio]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]
    greedy = generator.transcribe([(clip, replace(option, temperature_fallback=False)) for clip in audio])
    assert [answer.tokens for answer in greedy] != [answer.tokens for answer in together]


@pytest.mark.parametrize("tokens", [[5], [7] * 40, list(range(60))])
def test_repetition_is_measured_as_by_transformers(tokens: list[int], whisper: Whisper) -> None:
    import torch

    service, reference = whisper("multilingual")
    theirs = WhisperForConditionalGeneration._retrieve_compression_ratio(
        torch.tensor(tokens), reference.model.config.vocab_size
    )
    assert compression_ratio(tokens, service.codec.settings) == theirs


def test_words_are_the_segments_with_text(whisper: Whisper, speech: np.ndarray) -> None:
    service, reference = whisper("multilingual")
    audio = clips(speech, [70_000, 80_000])
    options = {"timestamps": True, "max_new_tokens": 20}
    answers = service.answer([(clip, service.codec.options(options)) for clip in audio])
    for clip, answer in zip(audio, answers, strict=True):
        segments = expected(reference, clip, options)["segments"]
        texts = [reference.text(segment["tokens"].tolist()).strip() for segment in segments]
        assert [word["word"] for word in answer.words] == [text for text in texts if text]
        assert all(0 <= word["confidence"] <= 1 for word in answer.words)
    assert any(answer.words for answer in answers)


def test_an_english_checkpoint_says_so(whisper: Whisper, speech: np.ndarray) -> None:
    service, _ = whisper("english")
    (answer,) = service.answer([(speech[:16_000], service.codec.options({"language": "auto", "max_new_tokens": 5}))])
    assert answer.language == "en"

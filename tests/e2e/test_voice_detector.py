"""`vad=true` through a real Triton: where nobody speaks nothing is written, and speech stays what it was."""

from pathlib import Path

import jiwer
import numpy as np
import pytest
from asr_client import Client, Transcription
from sounds import SOUNDS, music, rattle

from tests.e2e.test_live_streams import finals, pieces
from tests.e2e.test_long_recordings import RATE, sentences, wav  # noqa: F401 - a fixture

pytestmark = pytest.mark.e2e
SECONDS = 20
LONG_S = 90  # more than the model takes at once


@pytest.fixture(scope="module")
def mixed(sentences: list[np.ndarray]) -> np.ndarray:  # noqa: F811
    """The demo's sentences, with music and noise before, between and after them; more than a minute."""
    parts = [music(3)]
    for index, sentence in enumerate(sentences):
        parts += [sentence, music(2.5) if index % 2 else rattle(2.5)]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def alone(client: Client, sentences: list[np.ndarray]) -> list[str]:  # noqa: F811
    return [client.transcribe(sentence, sampling_rate=RATE).text for sentence in sentences]


def test_music_and_noise_are_written_without_the_detector(client: Client) -> None:
    """The other tests would otherwise show nothing."""
    assert client.transcribe(music(SECONDS), sampling_rate=RATE).text
    assert client.transcribe(rattle(SECONDS), sampling_rate=RATE).text
    assert client.transcribe(wav(music(LONG_S))).text
    assert finals(list(client.stream(pieces(music(SECONDS), 0.2), sampling_rate=RATE)))


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("options", [{}, {"decoder": "beam"}, {"hotwords": "quilter", "hotword_weight": 100}])
def test_a_recording_in_which_nobody_speaks_is_empty(client: Client, sound: str, options: dict[str, object]) -> None:
    samples = SOUNDS[sound](SECONDS)
    heard = client.transcribe(samples, sampling_rate=RATE, vad=True, word_timestamps=True, **options)  # type: ignore[arg-type]
    assert (heard.text, list(heard.words)) == ("", [])
    assert heard.duration == SECONDS


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_long_recording_in_which_nobody_speaks_is_empty(client: Client, sound: str) -> None:
    heard = client.transcribe(wav(SOUNDS[sound](LONG_S)), vad=True, word_timestamps=True)
    assert (heard.text, list(heard.words)) == ("", [])
    assert heard.duration == pytest.approx(LONG_S, abs=0.01)


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_live_stream_in_which_nobody_speaks_says_nothing(client: Client, sound: str) -> None:
    assert list(client.stream(pieces(SOUNDS[sound](SECONDS), 0.2), sampling_rate=RATE, vad=True)) == []


def test_speech_alone_says_the_same_with_the_detector(client: Client, samples: dict[Path, str]) -> None:
    for path in samples:
        plain, detected = (client.transcribe(path, word_timestamps=True, vad=vad) for vad in (False, True))
        assert detected.text == plain.text
        assert [(word.start, word.end) for word in detected.words] == [(word.start, word.end) for word in plain.words]


def test_between_music_and_noise_speech_is_found(
    client: Client,
    mixed: np.ndarray,
    alone: list[str],
    sentences: list[np.ndarray],  # noqa: F811
) -> None:
    plain, detected = (client.transcribe(wav(mixed), word_timestamps=True, vad=vad) for vad in (False, True))
    expected = " ".join(alone)
    assert jiwer.wer(expected, detected.text) <= 0.1
    assert jiwer.wer(expected, detected.text) < jiwer.wer(expected, plain.text)
    assert_words_are_in_speech(detected, sentences)


def test_of_a_stream_with_music_and_noise_the_speech_is_written(
    client: Client,
    mixed: np.ndarray,
    alone: list[str],
) -> None:
    results = finals(list(client.stream(pieces(mixed, 0.32), sampling_rate=RATE, vad=True)))
    assert jiwer.wer(" ".join(alone), " ".join(result.text for result in results)) <= 0.1


def assert_words_are_in_speech(heard: Transcription, spoken: list[np.ndarray]) -> None:
    at = 3.0
    edges = []
    for sentence in spoken:
        edges.append((at - 0.3, at + len(sentence) / RATE + 0.3))
        at += len(sentence) / RATE + 2.5
    for word in heard.words:
        assert any(begin <= word.start and word.end <= end for begin, end in edges), word

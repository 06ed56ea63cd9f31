import ctypes

import numpy as np
import pytest
import synthesis
from synthesis import HELD_OUT_VOICES, SAMPLE_RATE, TRAINING_VOICES, Augmentation, augment, synthesise


def test_no_voice_is_both_trained_and_held_out():
    assert not {voice.name for voice in TRAINING_VOICES} & {voice.name for voice in HELD_OUT_VOICES}
    assert {voice.accent for voice in TRAINING_VOICES} == {voice.accent for voice in HELD_OUT_VOICES}


def test_a_missing_library_says_what_to_install(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(synthesis.EspeakMissing, match="apt-get install espeak-ng"):
        synthesis.espeak_library()


def test_augmentation_is_deterministic_and_leaves_silence_silent():
    speech = np.sin(np.arange(SAMPLE_RATE, dtype=np.float32))
    once, again = (augment(speech, np.random.default_rng(4), Augmentation()) for _ in range(2))
    assert once.dtype == np.float32
    np.testing.assert_array_equal(once, again)
    assert not augment(np.zeros(SAMPLE_RATE, np.float32), np.random.default_rng(4), Augmentation()).any()


@pytest.mark.parametrize("voice", HELD_OUT_VOICES[::4], ids=lambda voice: voice.name)
def test_words_are_timed_in_order_within_the_audio(espeak, voice):
    text = "the small dog carried our box but john is in the kitchen again"
    speech = synthesise(text, voice)
    assert 2 < len(speech.samples) / SAMPLE_RATE < 5
    assert all(text.split()[word.index] == word.word for word in speech.words)
    edges = [edge for word in speech.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert edges[0] < 0.05
    assert abs(edges[-1] - len(speech.samples) / SAMPLE_RATE) < 0.05


def test_a_pause_belongs_to_no_word(espeak):
    words = {word.word: word for word in synthesise("he found a box but lost it", TRAINING_VOICES[0]).words}
    assert words["but"].start_s - words["box"].end_s > 0.05


def test_an_unknown_voice_is_refused(espeak, monkeypatch):
    monkeypatch.setitem(synthesis.ACCENTS, "en-us", "nowhere")
    with pytest.raises(synthesis.EspeakMissing, match="has no voice 'nowhere"):
        synthesise("good morning", synthesis.Voice("en-us", "m1"))

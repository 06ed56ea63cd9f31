"""The voice detector: where somebody speaks, whatever the pieces, and that nothing else is taken for speech."""

import builtins
from pathlib import Path

import numpy as np
import pytest
from asr_contract.errors import ParameterError
from asr_serving.audio.silero import Frames, Silero
from asr_serving.audio.speech import Detector, Rules, Span
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import speech
from sounds import RATE, SOUNDS, noise, silence

TOLERANCE = 1e-5  # of a probability
GAP_S = 1.5


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


def twice() -> np.ndarray:
    """The sentence, a pause, and the sentence."""
    return np.concatenate((speech(), noise(GAP_S, 0.002), speech()))


# What `get_speech_timestamps(samples, load_silero_vad(), …)` of silero-vad 6.2.3 returns, with PyTorch.
PACKAGE = {
    "its defaults": (Rules(), [(3616, 78304), (112672, 187872)]),
    "a gap that two spans share": (Rules(pad_ms=1500), [(0, 95488), (95488, 193862)]),
    "a low threshold": (
        Rules(threshold=0.3, min_speech_ms=0, min_silence_ms=32),
        [(3616, 78816), (84512, 87520), (112672, 187872)],
    ),
    "a high threshold": (Rules(threshold=0.98, min_silence_ms=32), [(4640, 78304), (113184, 187360)]),
}


@pytest.mark.parametrize("name", PACKAGE)
def test_the_spans_are_those_of_the_package_silero_vad(detector: Detector, name: str) -> None:
    rules, expected = PACKAGE[name]
    assert detector.spans(twice(), rules=rules) == expected


@given(st.lists(st.integers(1, 20_000), max_size=20))
@settings(max_examples=20)
def test_the_spans_do_not_depend_on_the_pieces(detector: Detector, sizes: list[int]) -> None:
    rules = Rules(pad_ms=400)
    stream, found, samples = detector.stream(rules=rules), [], twice()
    for piece in np.split(samples, np.cumsum(sizes)):
        found += stream.push(piece)
        assert found == [span for span in found if span[1] <= stream.settled]
    assert found + stream.finish() == detector.spans(samples, rules=rules)


def test_speech_that_goes_on_is_pending(detector: Detector) -> None:
    stream = detector.stream()
    assert stream.push(speech()[:40_000]) == []
    assert stream.settled == 3616
    assert stream.pending == [(3616, 39_936)]
    assert stream.finish() == [(3616, 40_000)]
    assert stream.pending == []


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_the_spans_are_in_samples_of_the_recording(detector: Detector, rate: int) -> None:
    (start, end), (whole_start, whole_end) = *detector.spans(speech(rate), rate), *detector.spans(speech())
    assert start / rate == pytest.approx(whole_start / RATE, abs=0.07)
    assert end / rate == pytest.approx(whole_end / RATE, abs=0.07)
    stream = detector.stream(rate)
    found = [span for piece in np.array_split(speech(rate), 50) for span in stream.push(piece)]
    assert found + stream.finish() == [(start, end)]


def test_a_span_ends_with_the_recording(detector: Detector) -> None:
    for rate in (8_000, 16_000, 44_100):
        cut = speech(rate)[: 2 * rate + 77]
        assert detector.spans(cut, rate)[-1][1] == len(cut)


@pytest.mark.parametrize("sound", SOUNDS)
def test_what_is_no_speech_has_no_span(detector: Detector, sound: str) -> None:
    assert detector.spans(SOUNDS[sound](20)) == []


def test_speech_is_found_after_a_minute_of_anything(detector: Detector) -> None:
    for sound in SOUNDS.values():
        spans = detector.spans(np.concatenate((sound(60), speech())))
        assert spans[0][0] == pytest.approx(60 * RATE + 3616, abs=0.2 * RATE)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(1), np.ones(511), np.full(16_000, 1e9), np.full(700, -1e9)])
def test_odd_samples_are_no_speech(detector: Detector, samples: np.ndarray) -> None:
    assert detector.spans(samples.astype(np.float32)) == []


def test_loud_samples_spoil_nothing_after_them(detector: Detector) -> None:
    spans: list[Span] = detector.spans(np.concatenate((noise(1, 1e9), silence(1), speech())))
    assert spans[-1][1] == pytest.approx(2 * RATE + 78_304, abs=0.2 * RATE)


def test_a_recording_does_not_hear_another(detector: Detector) -> None:
    alone = detector.spans(speech())
    one, other = detector.stream(), detector.stream()
    found = []
    for piece, disturbance in zip(np.array_split(speech(), 30), np.array_split(noise(5, 0.3), 30), strict=True):
        found += one.push(piece)
        other.push(disturbance)
    assert found + one.finish() == alone


def test_the_memory_of_a_stream_does_not_grow(detector: Detector) -> None:
    frames = Frames(Silero())
    for _ in range(50):
        frames.push(noise(1.01))
        assert len(frames._held) < 64 + 512


def test_frames_one_by_one_are_as_likely_as_all_at_once() -> None:
    network = Silero()
    whole, pieces = Frames(network), Frames(network)
    samples = speech()[: 100 * 512]
    one_by_one = np.concatenate([pieces.push(piece) for piece in samples.reshape(100, 512)])
    np.testing.assert_allclose(one_by_one, whole.push(samples), atol=TOLERANCE)


def test_without_onnxruntime_the_error_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ParameterError, match="vad=true needs the package onnxruntime"):
        Detector.load()


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(RuntimeError, match=r"cannot load the voice detector .*broken.onnx"):
        Detector.load(tmp_path / "broken.onnx")

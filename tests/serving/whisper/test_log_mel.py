"""Log-mel features against the checkpoint's own feature extractor."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from asr_serving.whisper.codec import Codec
from whisper_reference import Reference

SAMPLES = sorted((Path(__file__).parents[3] / "demo" / "samples").glob("*.[wf]*"))
RATE = 16_000
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=["thirty-seconds", "128-mels"])
def pair(
    request: pytest.FixtureRequest,
    whisper_checkpoint: Callable[[str], Path],
    whisper_artefacts: Callable[[str], Path],
) -> tuple[Codec, Reference]:
    return Codec.load(whisper_artefacts(request.param)), Reference.load(whisper_checkpoint(request.param))


def compare(pair: tuple[Codec, Reference], audio: np.ndarray) -> np.ndarray:
    codec, reference = pair
    features = codec.features(audio)
    expected = reference.features(audio)[0].numpy()
    assert features.dtype == np.float32
    assert features.shape == expected.shape
    assert np.abs(features - expected).max() <= TOLERANCE
    return features


def test_recordings(pair: tuple[Codec, Reference]) -> None:
    compared = 0
    for path in SAMPLES:
        audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
        compare(pair, audio.mean(axis=1, dtype=np.float32))
        compared += 1
    assert compared >= 8


@pytest.mark.parametrize("samples", [1, 2, 159, 160, 161, 200, 201, 399, 400])
def test_the_shortest(samples: int, pair: tuple[Codec, Reference]) -> None:
    compare(pair, np.random.default_rng(samples).normal(scale=0.1, size=samples).astype(np.float32))


@pytest.mark.parametrize("more", [-361, -360, -201, -200, -199, -161, -160, -1, 0, 1, 159, 160, 161, 200_000])
def test_around_the_end_of_a_window(more: int, pair: tuple[Codec, Reference]) -> None:
    speech, _ = soundfile.read(SAMPLES[0].parent / "quilter.wav", dtype="float32")
    compare(pair, np.resize(speech, pair[0].settings.window_samples + more))


def test_silence(pair: tuple[Codec, Reference]) -> None:
    features = compare(pair, np.zeros(RATE, np.float32))
    assert np.unique(features).tolist() == [pytest.approx(-1.5)]  # (log10(1e-10) + 4) / 4


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e3])
def test_levels(level: float, pair: tuple[Codec, Reference]) -> None:
    compare(pair, np.random.default_rng(0).normal(scale=level, size=RATE).astype(np.float32))

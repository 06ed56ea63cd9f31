"""The features inside the graph are those of the checkpoint's own feature extractor, on recordings of speech."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from asr_export.networks.granite_speech5 import GraniteFeatures
from asr_export.networks.lasr import LasrFeatures
from asr_export.networks.parakeet import NemoFeatures
from asr_export.networks.parts.batch import pad_ragged
from asr_export.networks.parts.spectrogram import PowerSpectrum
from asr_export.networks.wav2vec2_bert import KaldiFeatures
from reference import transformers_features
from transformers import (
    GraniteSpeech5FeatureExtractor,
    LasrFeatureExtractor,
    ParakeetFeatureExtractor,
    SeamlessM4TFeatureExtractor,
)

SAMPLES = Path(__file__).parents[3] / "demo" / "samples"
# The telephone recording holds next to nothing above 4 kHz, which is where float32 is put to the test.
RECORDINGS = ["quilter.wav", "radio.wav", "studio.flac", "stereo_opus.ogg", "telephone.wav"]
# Around the steps of frames, of stacks of two and of eight, and of blocks of 512.
LENGTHS = [880, 1_039, 1_040, 1_279, 1_280, 1_281, 5_119, 5_120, 5_121, 10_239, 10_240, 16_000, 30_001]


def speech(name: str) -> np.ndarray:
    wave, rate = soundfile.read(SAMPLES / name, dtype="float32", always_2d=True)
    return soxr.resample(wave.mean(axis=1), rate, 16_000).astype(np.float32)


def in_graph(features: Any, waves: list[np.ndarray]) -> tuple[torch.Tensor, ...]:
    lengths = torch.tensor([[len(wave)] for wave in waves], dtype=torch.int32)
    with torch.inference_mode():
        return tuple(features(*pad_ragged(torch.from_numpy(np.concatenate(waves)), lengths)))


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("gain", [1, 0.01], ids=["loud", "quiet"])
def test_kaldi_features_of_a_batch(name: str, gain: float) -> None:
    whole = speech(name) * np.float32(gain)
    waves = [whole[4_000 : 4_000 + length] for length in LENGTHS] + [whole]
    extractor = SeamlessM4TFeatureExtractor()
    features, present, attended = in_graph(KaldiFeatures(extractor), waves)
    for wave, row, frames, heard in zip(waves, features, present, attended, strict=True):
        reference = transformers_features(extractor, wave)
        assert (int(frames), int(heard)) == (reference["input_features"].shape[1], reference["attention_mask"].sum())
        # A frame that is stacked with padding is masked: what it holds has no effect.
        np.testing.assert_allclose(row[:heard], reference["input_features"][0, :heard], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", RECORDINGS)
def test_nemo_features_of_a_batch(name: str) -> None:
    whole = speech(name)
    # 640 samples are the shortest recording that Parakeet takes.
    waves = [whole[8_000 : 8_000 + length] for length in (640, 799, *LENGTHS)] + [whole]
    extractor = ParakeetFeatureExtractor()
    features, counts = in_graph(NemoFeatures(extractor), waves)
    for wave, row, count in zip(waves, features, counts, strict=True):
        reference = transformers_features(extractor, wave)["input_features"][0]
        assert int(count) == len(reference)
        np.testing.assert_allclose(row[:count], reference, atol=1e-4, rtol=0)
        assert not row[count:].any()


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize(
    ("network", "extractor"),
    [(LasrFeatures, LasrFeatureExtractor), (GraniteFeatures, GraniteSpeech5FeatureExtractor)],
    ids=["lasr", "granite"],
)
def test_features_without_a_deviation_of_a_batch(network: Any, extractor: Any, name: str) -> None:
    """All lengths around a hop and a stack of two: what lies beyond the end of a recording differs in each."""
    whole = speech(name)
    waves = [whole[8_000 : 8_000 + length] for length in (*LENGTHS, *range(1_599, 1_925, 13))] + [whole, 0 * whole]
    extract = extractor()
    features, counts = in_graph(network(extract), waves)
    for wave, row, count in zip(waves, features, counts, strict=True):
        reference = transformers_features(extract, wave)["input_features"][0]
        assert int(count) == len(reference)
        np.testing.assert_allclose(row[:count], reference, atol=1e-4, rtol=0)


def test_slopes_reach_as_far_as_the_extractor_says() -> None:
    whole = speech("quilter.wav")
    extractor = GraniteSpeech5FeatureExtractor(delta_win_length=7, logmel_floor_db=5.0)
    features, counts = in_graph(GraniteFeatures(extractor), [whole[:5_000], whole])
    for wave, row, count in zip([whole[:5_000], whole], features, counts, strict=True):
        reference = transformers_features(extractor, wave)["input_features"][0]
        np.testing.assert_allclose(row[:count], reference, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("gain", [1, 0.01], ids=["loud", "quiet"])
def test_nemo_features_are_those_of_float64(name: str, gain: float) -> None:
    """transformers computes in float32 and loses up to 4e-2 where a recording is almost silent; the graph does not."""
    whole = speech(name) * np.float32(gain)
    waves = [whole[:length] for length in LENGTHS] + [whole]
    extractor = ParakeetFeatureExtractor()
    features, counts = in_graph(NemoFeatures(extractor), waves)
    for wave, row, count in zip(waves, features, counts, strict=True):
        np.testing.assert_allclose(row[:count], nemo_in_float64(extractor, wave), atol=1e-4, rtol=0)


def nemo_in_float64(extractor: Any, wave: np.ndarray) -> np.ndarray:
    """The formula of ParakeetFeatureExtractor; the pre-emphasis is float32, as there."""
    emphasised = np.append(wave[:1], wave[1:] - np.float32(0.97) * wave[:-1]).astype(np.float64)
    padded = np.pad(emphasised, 256)
    window = np.pad(np.hanning(400), 56)
    frames = [padded[start : start + 512] * window for start in range(0, len(wave) // 160 * 160, 160)]
    power = np.abs(np.fft.rfft(frames)) ** 2
    log_mel = np.log(power @ extractor.mel_filters.numpy().T.astype(np.float64) + 2**-24)
    return np.asarray((log_mel - log_mel.mean(axis=0)) / (log_mel.std(axis=0, ddof=1) + 1e-5))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_a_spectrum_is_exact_beside_a_tone_a_million_times_louder(scale: float) -> None:
    """120 dB: below the rounding noise of a float32 DFT."""
    window = np.hanning(400)
    transform = np.fft.rfft(np.eye(400), n=512, axis=0) * window
    time = np.arange(1_600)
    wave = scale * (np.sin(0.4 * time) + 1e-6 * np.random.default_rng(0).normal(size=1_600))
    wave = wave.astype(np.float32)
    spectrum = PowerSpectrum(transform, 160)(torch.from_numpy(wave)[None], 8)[0].numpy()
    for index in range(8):
        frame = wave[index * 160 : index * 160 + 400].astype(np.float64)
        expected = np.abs(transform @ frame) ** 2
        assert expected.max() > 1e11 * np.median(expected)
        np.testing.assert_allclose(spectrum[index], expected, rtol=1e-4, atol=1e-4 * np.median(expected))


def test_the_spectrum_of_silence_is_zero() -> None:
    transform = np.fft.rfft(np.eye(400), n=512, axis=0)
    assert not PowerSpectrum(transform, 160)(torch.zeros(2, 1_024), 3).any()

"""The log-mel spectrogram of a waveform, as transformers' WhisperFeatureExtractor computes it, without torch.

The steps: a periodic Hann window, centred frames with reflected edges, power, mel filters, log10, a floor of 8 decades
below the loudest value, then `(x + 4) / 4`.
"""

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper.settings import Settings

FLOOR = 1e-10  # power; log10 of digital silence
RANGE_DECADES = 8.0
_BLOCK_FRAMES = 3000  # bounds the memory of the spectra: 10 MB


def log_mel(waveform: NDArray[np.float32], settings: Settings, mel_filters: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the features of one recording.

    Args:
        waveform: float32 `[samples]`, at least 1.
        settings: geometry of the frames.
        mel_filters: `[n_fft // 2 + 1, mels]`.

    Returns:
        float32 `[mels, frames]`. A recording of up to one window is filled up with silence to a whole window. A longer
        one gives as many frames as it has, all on the scale of its loudest moment, as in the reference.
    """
    missing = settings.window_samples - len(waveform)
    padded = np.pad(waveform, (0, max(0, missing)))
    edge = settings.n_fft // 2
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(padded, edge, mode="reflect"), settings.n_fft)
    count = len(padded) // settings.hop_length  # the last centred frame is left out
    frames = frames[:: settings.hop_length][:count]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.n_fft) / settings.n_fft)
    features = np.full((mel_filters.shape[1], count), np.log10(FLOOR), np.float32)
    # Frames beyond the waveform hold silence alone: most of them, of a short recording.
    heard = min(count, -(-(len(waveform) + edge) // settings.hop_length))
    for first in range(0, heard, _BLOCK_FRAMES):
        block = slice(first, min(heard, first + _BLOCK_FRAMES))
        spectra = np.fft.rfft(frames[block] * hann)
        power = spectra.real**2 + spectra.imag**2
        features[:, block] = np.log10(np.maximum(power @ mel_filters, FLOOR)).T
    np.maximum(features, features.max() - np.float32(RANGE_DECADES), out=features)
    return (features + np.float32(4)) / np.float32(4)

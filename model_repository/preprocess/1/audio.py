"""Bytes of a recording -> mono float32 waveform at the model's sampling rate.

libsndfile (through soundfile) reads WAV, FLAC, OGG and MP3, in a fraction of a millisecond for a short clip. What it
does not know (M4A/AAC, WebM, AMR, WMA …) goes to FFmpeg's libraries (through PyAV). Both come as wheels: no system
package is needed. soxr resamples: the same engine as in librosa and SoX, and flat to 0.91 of Nyquist.
"""

import io
import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

MIN_SAMPLING_RATE = 4_000
MAX_SAMPLING_RATE = 384_000
MAX_CHANNELS = 64
# Float samples belong within ±1. The squares of larger ones than this overflow float32 when the model normalises.
MAX_AMPLITUDE = 1e9
# A file of 64 channels at 384 kHz is 1000 times what the model hears: read and downmix a piece at a time.
_BLOCK_SAMPLES = 1 << 20
# A WAV has a handful of chunks; one made of nothing but empty chunks would keep us busy for minutes.
_MAX_WAV_CHUNKS = 1_000
SUPPORTED = "WAV, FLAC, OGG (Opus, Vorbis), MP3, M4A/AAC, WebM, AIFF, AMR, WMA, or raw PCM with its encoding"
PCM_DTYPES: dict[str, "np.dtype[Any]"] = {"pcm_s16le": np.dtype("<i2"), "pcm_f32le": np.dtype("<f4")}

# FFmpeg guesses the container by content; without a list, a text could pass for a playlist that names other files.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,ogg,flac,wav,w64,aiff,caf,asf,amr,ac3,eac3,au,avi,mpegts"


class AudioError(ValueError):
    """The recording cannot be used; the message is for the person who sent it."""


@dataclass(frozen=True)
class Limits:
    """What the acoustic model can take."""

    sampling_rate: int  # Hz, of the waveform that the model expects
    min_samples: int  # at `sampling_rate`: the receptive field of one output frame
    max_seconds: float  # bounds the memory of a batch


@dataclass(frozen=True)
class PcmFormat:
    """How raw samples are laid out."""

    encoding: str  # a key of PCM_DTYPES
    sampling_rate: int  # Hz
    channels: int  # interleaved


def load(data: bytes, limits: Limits, pcm: PcmFormat | None = None) -> tuple[NDArray[np.float32], float]:
    """Decode, downmix, check and resample one recording.

    Args:
        data: a whole audio file, or raw samples when `pcm` is given.
        limits: what the model can take.
        pcm: the layout of raw samples; None for a file, whose header tells.

    Returns:
        The waveform, float32 `[samples]` at `limits.sampling_rate`, and its duration in seconds.

    Raises:
        AudioError: the bytes are not audio, are cut short, hold NaN or Inf, or are too short or too long.
    """
    if not data:
        raise AudioError(f"AUDIO is empty: 0 bytes; needs {SUPPORTED}")
    mono, rate = _read_pcm(data, pcm) if pcm else _read_file(data, limits.max_seconds)
    seconds = len(mono) / rate
    if seconds > limits.max_seconds:
        raise AudioError(
            f"audio is too long: {seconds:.2f} s or more; this model takes up to {limits.max_seconds:g} s: "
            "cut it into shorter pieces, or export with a larger --max-audio-seconds"
        )
    if len(mono) == 0:
        raise AudioError("audio holds 0 samples")
    peak = float(np.abs(mono).max())
    if not peak <= MAX_AMPLITUDE:  # false for NaN too
        raise AudioError(
            f"audio holds NaN, Inf or samples beyond ±{MAX_AMPLITUDE:g} (peak {peak}); needs finite samples"
        )
    if rate != limits.sampling_rate:
        mono = soxr.resample(mono, rate, limits.sampling_rate, quality="HQ")
    if len(mono) < limits.min_samples:
        raise AudioError(
            f"audio is too short: {seconds * 1000:.1f} ms; this model needs at least "
            f"{1000 * limits.min_samples / limits.sampling_rate:.1f} ms ({limits.min_samples} samples at "
            f"{limits.sampling_rate} Hz)"
        )
    return np.ascontiguousarray(mono, dtype=np.float32), seconds


def _read_pcm(data: bytes, pcm: PcmFormat) -> tuple[NDArray[np.float32], int]:
    dtype = PCM_DTYPES[pcm.encoding]
    frame_bytes = dtype.itemsize * pcm.channels
    if len(data) % frame_bytes:
        raise AudioError(
            f"{len(data)} bytes of {pcm.encoding} with {pcm.channels} channel(s) is not a whole number of "
            f"{frame_bytes}-byte frames: bytes are missing or the encoding is another one"
        )
    samples = np.frombuffer(data, dtype).reshape(-1, pcm.channels)
    if dtype.kind == "i":
        samples = samples.astype(np.float32) / np.float32(32768)
    return _downmix(samples), pcm.sampling_rate


def _read_file(data: bytes, max_seconds: float) -> tuple[NDArray[np.float32], int]:
    """Mono float32 `[samples]` and the rate; reads little more than `max_seconds` of a longer file."""
    _check_wav_is_whole(data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_format(file.samplerate, file.channels)
            wanted = min(file.frames, int(max_seconds * file.samplerate) + 1)
            block = max(1, _BLOCK_SAMPLES // file.channels)
            blocks = [_downmix(piece) for piece in file.blocks(block, frames=wanted, dtype="float32", always_2d=True)]
            mono = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
            if file.format == "FLAC" and len(mono) < wanted:
                raise AudioError(f"FLAC is cut short: header says {file.frames} frames, {len(mono)} are here")
            return mono, file.samplerate
    except soundfile.LibsndfileError as refused:
        return _read_with_ffmpeg(data, max_seconds, refused.error_string)


def _check_format(rate: int, channels: int) -> None:
    """Before any sample is decoded: what a header claims is what decoding costs."""
    if not MIN_SAMPLING_RATE <= rate <= MAX_SAMPLING_RATE:
        raise AudioError(f"sampling rate is {rate} Hz; needs {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"audio has {channels} channels; needs 1 to {MAX_CHANNELS}")


def _downmix(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[frames, channels]` -> `[frames]`, the mean of the channels."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)


def _check_wav_is_whole(data: bytes) -> None:
    """libsndfile reads a WAV that was cut off as if it ended there; a transcript of half a recording misleads."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return
    position = 12
    for _ in range(_MAX_WAV_CHUNKS):
        if position + 8 > len(data):
            break
        name, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        here = len(data) - position - 8
        if name == b"data":
            if size > here:
                raise AudioError(
                    f"WAV is cut short: its header claims {size} bytes of samples, {here} are here "
                    "(for a WAV that was written to a pipe, send the samples with encoding=pcm_s16le)"
                )
            if size == 0 and here:
                raise AudioError(f"WAV claims 0 samples, {here} bytes follow: its recorder did not finish the header")
            return
        position += 8 + size + size % 2
    raise AudioError(f"WAV is cut short or broken: no samples found in its {len(data)} bytes")


def _read_with_ffmpeg(data: bytes, max_seconds: float, refused: str) -> tuple[NDArray[np.float32], int]:
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": ""}
    try:
        with av.open(io.BytesIO(data), "r", options=options) as container:
            if not container.streams.audio:
                raise AudioError(f"file holds no audio stream; needs {SUPPORTED}")
            return _decode_stream(container, max_seconds)
    except (av.error.FFmpegError, ValueError, EOFError, OverflowError) as unreadable:
        if isinstance(unreadable, AudioError):
            raise
        start = bytes(data[:12])
        raise AudioError(
            f"cannot read this as audio: {len(data)} bytes that start with {start!r} ({refused.strip()}); "
            f"needs {SUPPORTED}"
        ) from unreadable


def _decode_stream(container: "av.container.InputContainer", max_seconds: float) -> tuple[NDArray[np.float32], int]:
    # Float keeps every sample format's full range; the rate stays as it is, soxr changes it better. Interleaved: PyAV
    # reads past the end of its list of planes, and crashes, when there is one for each of more than eight channels.
    to_float = av.AudioResampler(format="flt")
    pieces: list[NDArray[np.float32]] = []
    rate = frames = 0
    for frame in container.decode(audio=0):
        _check_format(frame.sample_rate, frame.layout.nb_channels)
        for piece in to_float.resample(frame):
            if rate and piece.sample_rate != rate:
                raise AudioError(f"sampling rate changes from {rate} to {piece.sample_rate} Hz within the file")
            rate = piece.sample_rate
            samples = piece.to_ndarray().astype(np.float32, copy=False)
            pieces.append(_downmix(samples.reshape(-1, piece.layout.nb_channels)))
            frames += piece.samples
        if rate and frames > max_seconds * rate:
            break
    if not pieces:
        raise AudioError("audio holds 0 samples")
    return np.concatenate(pieces), rate

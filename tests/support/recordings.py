"""One spoken sentence in every container and codec that we take, written here and now by PyAV and soundfile."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

PCM_FRAME = 1024
QUILTER = Path(__file__).parents[2] / "demo" / "samples" / "quilter.wav"


@cache
def speech(rate: int = 16_000) -> np.ndarray:
    """The sentence, float32 `[samples]`, 5.3 s."""
    samples, own = soundfile.read(QUILTER, dtype="float32")
    resampled: np.ndarray = samples if rate == own else soxr.resample(samples, own, rate)
    return resampled


def by_soundfile(container: str, subtype: str | None = None, rate: int = 16_000, endian: str | None = None) -> bytes:
    """The sentence in a file that libsndfile writes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, speech(rate), rate, format=container, subtype=subtype, endian=endian)
    return buffer.getvalue()


class Pipe:
    """What a program sees that writes to a pipe: it cannot go back."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> int:
        """Take all of it."""
        self.written += data
        return len(data)


def by_ffmpeg(
    container: str,
    codec: str,
    rate: int = 16_000,
    samples: Sequence[tuple[float, np.ndarray]] | None = None,
    container_options: Mapping[str, str] | None = None,
    codec_options: Mapping[str, str] | None = None,
    pipe: bool = False,
    layout: str = "mono",
) -> bytes:
    """A file that FFmpeg writes.

    Args:
        container: FFmpeg's name.
        codec: of an encoder.
        rate: Hz.
        samples: (second at which it is heard, float32 `[samples]`); None: the sentence, from the beginning.
        container_options: of the muxer.
        codec_options: of the encoder.
        pipe: whether the muxer cannot go back to its header.
        layout: of the channels, which all say the same.
    """
    target = Pipe() if pipe else io.BytesIO()
    with av.open(target, "w", format=container, options=dict(container_options or {})) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout, options=dict(codec_options or {}))
        stream.codec_context.open()
        for begin_s, piece in samples or [(0.0, speech(rate))]:
            # Only whole frames of the codec, or the encoder would keep a rest and date what follows back.
            size = stream.codec_context.frame_size
            whole = np.pad(piece, (0, -len(piece) % size)) if samples and size else piece
            for start in range(0, len(whole), size or PCM_FRAME):
                part = whole[start : start + (size or PCM_FRAME)].astype(np.float32)
                channels = av.AudioLayout(layout).nb_channels
                frame = av.AudioFrame.from_ndarray(np.repeat(part, channels)[None], format="flt", layout=layout)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(begin_s * rate) + start
                file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return bytes(target.written) if isinstance(target, Pipe) else target.getvalue()


VBR = {"flags": "+qscale", "global_quality": str(5 * 118)}
NO_XING = {"write_xing": "0", "id3v2_version": "0"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}
FAST_START = {"moov_size": "8192"}  # kept free for it; "faststart" would write the file a second time


@dataclass(frozen=True)
class Kind:
    """One way to keep the sentence in a file."""

    make: Callable[[], bytes]
    is_lossless: bool = False  # the samples are those of `speech`, of 16 kHz
    tells_cut: bool = False  # its header says how long it is, or there is nothing without its end
    slack_s: float = 0.15  # what the codec adds or leaves out, at either end


def _sound(container: str, subtype: str | None, rate: int = 16_000, **properties: bool) -> Kind:
    return Kind(lambda: by_soundfile(container, subtype, rate), **properties)


def _ffmpeg(container: str, codec: str, rate: int = 16_000, tells_cut: bool = False, **options: object) -> Kind:
    return Kind(lambda: by_ffmpeg(container, codec, rate, **options), tells_cut=tells_cut)  # type: ignore[arg-type]


KINDS: dict[str, Kind] = {
    "wav pcm16": _sound("WAV", "PCM_16", is_lossless=True, tells_cut=True),
    "wav pcm24": _sound("WAV", "PCM_24", is_lossless=True, tells_cut=True),
    "wav pcm32": _sound("WAV", "PCM_32", is_lossless=True, tells_cut=True),
    "wav float": _sound("WAV", "FLOAT", is_lossless=True, tells_cut=True),
    "wav double": _sound("WAV", "DOUBLE", is_lossless=True, tells_cut=True),
    "wav extensible": _sound("WAVEX", "PCM_16", is_lossless=True, tells_cut=True),
    "wav pcm8": _sound("WAV", "PCM_U8", tells_cut=True),
    "wav ulaw": _sound("WAV", "ULAW", 8_000, tells_cut=True),
    "wav alaw": _sound("WAV", "ALAW", 8_000, tells_cut=True),
    "wav ima adpcm": _sound("WAV", "IMA_ADPCM", 8_000, tells_cut=True),
    "wav ms adpcm": _sound("WAV", "MS_ADPCM", 8_000, tells_cut=True),
    "wav gsm": _sound("WAV", "GSM610", 8_000, tells_cut=True),
    "wav g721": _sound("WAV", "G721_32", 8_000, tells_cut=True),
    "wav nms adpcm": _sound("WAV", "NMS_ADPCM_32", 8_000, tells_cut=True),
    "wav mp3": _ffmpeg("wav", "libmp3lame", tells_cut=True),
    "w64 pcm16": _sound("W64", "PCM_16", is_lossless=True, tells_cut=True),
    "w64 gsm": _sound("W64", "GSM610", 8_000, tells_cut=True),
    "rf64 pcm16": _sound("RF64", "PCM_16", is_lossless=True, tells_cut=True),
    "flac": _sound("FLAC", "PCM_16", is_lossless=True, tells_cut=True),
    "aiff pcm16": _sound("AIFF", "PCM_16", is_lossless=True),
    "aiff gsm": _sound("AIFF", "GSM610", 8_000),
    "aiff dwvw": _sound("AIFF", "DWVW_16"),
    "au pcm16": _sound("AU", "PCM_16", is_lossless=True),
    "au g721": _sound("AU", "G721_32", 8_000),
    "au g723": _sound("AU", "G723_24", 8_000),
    "caf pcm16": _sound("CAF", "PCM_16", is_lossless=True),
    "caf alac": _sound("CAF", "ALAC_16", is_lossless=True),
    "nist pcm16": _sound("NIST", "PCM_16", is_lossless=True),
    "voc pcm16": _sound("VOC", "PCM_16", is_lossless=True),
    "ogg opus": _ffmpeg("ogg", "libopus", 48_000),
    "ogg vorbis": _sound("OGG", "VORBIS", 44_100),
    "mp3": _ffmpeg("mp3", "libmp3lame", 44_100),
    "mp3 vbr": _ffmpeg("mp3", "libmp3lame", codec_options=VBR),
    "mp3 vbr without xing": _ffmpeg("mp3", "libmp3lame", codec_options=VBR, container_options=NO_XING),
    "mp3 44.1 kHz vbr without xing": _ffmpeg("mp3", "libmp3lame", 44_100, codec_options=VBR, container_options=NO_XING),
    "m4a": _ffmpeg("ipod", "aac", 44_100, tells_cut=True),
    "m4a fast start": _ffmpeg("ipod", "aac", 44_100, container_options=FAST_START),
    "m4a alac": _ffmpeg("ipod", "alac", tells_cut=True),
    "mp4 fragments": _ffmpeg("mp4", "aac", container_options=FRAGMENTS),
    "aac": _ffmpeg("adts", "aac", 44_100),
    "3gp amr": _ffmpeg("3gp", "libopencore_amrnb", 8_000, tells_cut=True, codec_options={"b": "12200"}),
    "amr": _ffmpeg("amr", "libopencore_amrnb", 8_000, codec_options={"b": "12200"}),
    "webm opus": _ffmpeg("webm", "libopus", 48_000),
    "mka aac": _ffmpeg("matroska", "aac"),
    "mka pcm": _ffmpeg("matroska", "pcm_s16le"),
    "ts aac": _ffmpeg("mpegts", "aac"),
    "wma": _ffmpeg("asf", "wmav2", codec_options={"b": "64000"}),
    "avi mp3": _ffmpeg("avi", "libmp3lame"),
    "ac3": _ffmpeg("ac3", "ac3", 48_000),
}


@cache
def recording(name: str) -> bytes:
    """The sentence as one of `KINDS`."""
    return KINDS[name].make()


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    """What the server hears: float32 `[samples]`, and Hz."""
    from asr_serving.audio import container

    pieces = list(container.blocks(io.BytesIO(data)))
    if not pieces:
        return np.zeros(0, np.float32), 1
    return np.concatenate([samples for samples, _ in pieces]), pieces[0][1]


def loud(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """When somebody begins to speak, and ends, in seconds; the sentence alone: 0.25 and 4.81."""
    above = np.flatnonzero(np.abs(samples) > 0.02)
    return float(above[0] / rate), float(above[-1] / rate)

"""Files of one recording in the odd forms that other programs write; made by hand, or by PyAV."""

import io
import struct
from collections.abc import Sequence

import av
import numpy as np

RATE = 16_000
# The second half of WAVE_FORMAT_EXTENSIBLE's identifier of a format; the first half is the format's number.
_GUID = bytes.fromhex("000000001000800000aa00389b71")


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a WAV, with the byte that pads it."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """A WAV of these chunks, whose header claims `size` bytes; the true number by default."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def fmt(tag: int = 1, channels: int = 1, bits: int = 16, extra: bytes = b"") -> bytes:
    """The chunk that tells the format."""
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, RATE, RATE * frame, frame, bits) + extra)


def extensible() -> bytes:
    """The same as 16-bit WAVE_FORMAT_EXTENSIBLE."""
    return fmt(0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, 1) + _GUID)


def rf64(name: bytes, samples: bytes) -> bytes:
    """A WAV for more than 4 GiB: b"RF64" of the EBU, b"BW64" of the ITU."""
    header, size = fmt(), len(samples)
    sizes = chunk(b"ds64", struct.pack("<QQQI", 4 + 36 + len(header) + 8 + size, size, size // 2, 0))
    return name + b"\xff\xff\xff\xffWAVE" + sizes + header + b"data\xff\xff\xff\xff" + samples


def id3(size: int, version: int = 3, content: bytes = b"") -> bytes:
    """An ID3v2 tag of so many bytes after its header."""
    length = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, 0]) + length + content.ljust(size, b"\0")


def encoded(
    container: str,
    codec: str,
    *tracks: np.ndarray,
    rate: int = RATE,
    layout: str = "mono",
    default: int = 0,
    cover: bool = False,
) -> bytes:
    """A file of one or more audio tracks.

    Args:
        container: FFmpeg's name of the form.
        codec: FFmpeg's name of the encoder.
        tracks: float32 `[samples, channels]` each.
        rate: Hz.
        layout: of the channels.
        default: the track that is marked as the default.
        cover: whether there is a picture, as a track of its own.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        streams = [file.add_stream(codec, rate=rate, layout=layout) for _ in tracks]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        picture = _picture(file) if cover else None
        for stream, samples in zip(streams, tracks, strict=True):
            _encode(file, stream, samples, rate, layout)
        if picture is not None:
            file.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
            file.mux(picture.encode(None))
    return buffer.getvalue()


def pictures_alone() -> bytes:
    """A film without sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        picture = _picture(file)
        for frame in [av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8)), None]:
            file.mux(picture.encode(frame))
    return buffer.getvalue()


def _picture(file: av.container.OutputContainer) -> av.VideoStream:
    picture = file.add_stream("mjpeg", rate=1)
    picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
    picture.disposition = av.stream.Disposition.attached_pic
    return picture


def _encode(
    file: av.container.OutputContainer, stream: av.AudioStream, samples: np.ndarray, rate: int, layout: str
) -> None:
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
    frame.sample_rate = rate
    to_codec = av.AudioResampler(format=stream.format, frame_size=stream.frame_size or None)
    pieces: Sequence[av.AudioFrame | None] = [*to_codec.resample(frame), *to_codec.resample(None), None]
    for piece in pieces:
        file.mux(stream.encode(piece))

"""Turns a recording, in any form that callers have, into the bytes to send and their encoding.

Nothing is decoded here: files are sent as they are, and the server reads them.
"""

import io
import numbers
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, Union, get_args

from asr_contract.parameters import Value as ParameterValue

from asr_client import _lengths
from asr_client._errors import InvalidAudio, MessageTooLarge

if TYPE_CHECKING:
    import numpy as np

Encoding = Literal["file", "pcm_s16le", "pcm_f32le"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
AudioSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], "np.ndarray[Any, Any]"]
MAX_CHANNELS = 64  # as in the server's preprocess step
# Room in a message for the model's name, the parameters and the tensor headers.
MESSAGE_OVERHEAD_BYTES = 4096
CHUNK_BYTES = 2**20  # that are read of a file at a time

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")
# Linux takes no longer path. A file in base64, given by mistake, is much longer, and must not fill a message.
_LONGEST_PATH = 4096
_SHOWN_CHARACTERS = 200
_UNREADABLE = "the recording cannot be read"
_ACCEPTED = "a path, bytes, a binary file object, a numpy array or asr_client.Audio"


@dataclass(frozen=True)
class Audio:
    """A recording with its format, for arrays and raw PCM, which do not carry their format.

    A numpy array is `[samples]` or `[samples, channels]` (at most 64 channels; `[channels, samples]` is refused):
    floats within ±1 (sent as float32), int16, or, as WAV readers give them, uint8 (8 bit) and int32 (24 and 32 bit,
    full scale). It needs `sampling_rate`, and nothing else.

    Paths, bytes and file objects hold an audio file (WAV, FLAC, OGG/Opus, MP3, M4A …), whose header tells its format.
    If they hold raw PCM, give `encoding` and `sampling_rate`.
    """

    source: AudioSource
    sampling_rate: int | None = None  # Hz
    encoding: Encoding | None = None  # None: an array's own, else "file"
    channels: int | None = None  # of raw PCM, interleaved; None: an array's own, else 1

    @property
    def name(self) -> str | None:
        """Return the path; None for audio without one."""
        if isinstance(self.source, str | os.PathLike):
            return os.fsdecode(self.source)
        name = getattr(self.source, "name", None)  # of a file object; an int when it was opened by descriptor
        return name if isinstance(name, str) else None


@dataclass(frozen=True)
class Payload:
    """The bytes to send, with their encoding."""

    data: bytes
    encoding: Encoding
    sampling_rate: int | None = None  # Hz; None for a file
    channels: int | None = None  # None for a file

    def parameters(self) -> dict[str, ParameterValue]:
        """Return the request parameters; none for a file, because the server expects one by default."""
        if self.sampling_rate is None or self.channels is None:
            return {}
        return {"encoding": self.encoding, "sample_rate": self.sampling_rate, "channels": self.channels}

    def seconds(self) -> float:
        """Return how long it is, as far as its bytes tell; see `_lengths.seconds`."""
        return _lengths.seconds(self.data, self.encoding, self.sampling_rate, self.channels)

    def pieces(self) -> "Pieces":
        """Return the payload in a form that can be sent in several messages."""
        return Pieces(lambda: io.BytesIO(self.data), self.parameters())


class Readable(Protocol):
    """An open recording: what a sender of pieces needs of a file."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, as many as `size` unless the recording ends; none at its end."""

    def __enter__(self) -> "Readable":
        """Return this object."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Close it."""


@dataclass(frozen=True)
class Pieces:
    """A recording that is sent in several messages."""

    open: Callable[[], Readable]  # opens it at its beginning, each time
    parameters: Mapping[str, ParameterValue]
    obstacle: Callable[[], str | None] = lambda: None  # why it cannot be opened again; None if it can be


def load(audio: Audio, max_message_bytes: int) -> Payload:
    """Read a path, or convert bytes or an array. Blocks while it reads.

    Raises:
        InvalidAudio: it cannot be read, is empty, or its format is missing, contradictory or not supported.
        MessageTooLarge: it does not fit `max_message_bytes`; a file is not read further than that.
    """
    limit, source = max_message_bytes - MESSAGE_OVERHEAD_BYTES, audio.source
    if isinstance(source, str) and _ADDRESS.match(source):
        why = f"is an address, and the client downloads nothing; needs {_ACCEPTED}"
        raise InvalidAudio(f"{_shown(source)} {why}", public=f"audio {why}")
    if isinstance(source, str) and len(source) > _LONGEST_PATH:
        what = f"audio is a str of {len(source):,} characters"
        why = "a str has to be a path: if it is a file in base64, decode it to bytes first"
        raise InvalidAudio(f"{what}, {_shown(source)}; {why}", public=f"{what}; {why}")
    if isinstance(source, str | os.PathLike):
        payload = described(audio, lambda: _read_path(Path(os.fsdecode(source)), limit))
    elif isinstance(source, bytes | bytearray | memoryview):
        payload = described(audio, lambda: bytes(source))
    else:
        payload = _from_array(audio)
    if not payload.data:
        raise empty(audio)
    if len(payload.data) > limit:
        raise too_large(len(payload.data), max_message_bytes)
    return payload


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def empty(audio: Audio, position: int | None = None) -> InvalidAudio:
    """Return the error of a recording without bytes; `position` is that of a file object, if it has one."""
    where = f" from where the file object stands, at byte {position:,}: call its seek(0) first" if position else ""
    why = f"is empty: 0 bytes{where}"
    return InvalidAudio(f"{audio.name or 'audio'} {why}", public=f"audio {why}")


def too_large(size_bytes: int | None, limit_bytes: int) -> MessageTooLarge:
    """Return the error, which names the size, the limit, and what the caller can do."""
    got = "unknown size" if size_bytes is None else f"{size_bytes:,} bytes"
    public = f"audio of {got} does not fit the message limit of {limit_bytes:,} bytes: send FLAC or Opus instead of WAV"
    return MessageTooLarge(
        f"{public}, cut the recording, or raise the limit with Client(max_message_bytes=…) (a server or proxy may have "
        "its own)",
        size_bytes=size_bytes,
        limit_bytes=limit_bytes,
        public=f"{public}, or cut the recording",
    )


def described(audio: Audio, read: Callable[[], bytes]) -> Payload:
    """Return the bytes with the format that the caller gave.

    Raises:
        InvalidAudio: the format is missing or contradictory; nothing was read then.
    """
    encoding = audio.encoding or "file"
    if encoding not in ENCODINGS:
        raise InvalidAudio.for_anybody(f"encoding is {audio.encoding!r}; needs one of {', '.join(ENCODINGS)}")
    if encoding == "file":
        for name in ("sampling_rate", "channels"):
            if getattr(audio, name) is not None:
                raise InvalidAudio.for_anybody(
                    f"{name} is given for an audio file, whose own header tells it; "
                    "if these are raw samples, say encoding='pcm_s16le' or 'pcm_f32le'"
                )
        return Payload(read(), encoding)
    if audio.sampling_rate is None:
        raise InvalidAudio.for_anybody(f"encoding={encoding!r} needs sampling_rate, in Hz")
    rate = _whole("sampling_rate", audio.sampling_rate)
    channels = 1 if audio.channels is None else _whole("channels", audio.channels)
    return Payload(read(), encoding, rate, channels)


def opened(path: Path) -> IO[bytes]:
    """Open a file.

    Raises:
        InvalidAudio: it cannot be opened.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidAudio(f"cannot read {_shown(str(path))}: {error.strerror or error}", public=_UNREADABLE) from error
    except ValueError as error:  # a NUL in the path
        raise InvalidAudio(f"cannot read {str(path)!r}: {error}", public=_UNREADABLE) from error


def _read_path(path: Path, limit: int) -> bytes:
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise too_large(size, limit + MESSAGE_OVERHEAD_BYTES)
        return _read_file(file, limit)


def _read_file(file: IO[bytes], limit: int) -> bytes:
    buffer = io.BytesIO()
    while chunk := read_chunk(file, CHUNK_BYTES):
        buffer.write(chunk)
        if buffer.tell() > limit:
            raise too_large(None, limit + MESSAGE_OVERHEAD_BYTES)
    return buffer.getvalue()


def read_chunk(file: Readable | IO[bytes], size: int) -> bytes:
    """Return up to `size` further bytes of a file; none at its end.

    Raises:
        InvalidAudio: it cannot be read, or gives no bytes. An exception of another kind is the caller's, and passes.
    """
    try:
        chunk = file.read(size)
    except UnicodeDecodeError as error:
        raise InvalidAudio.for_anybody("the file object gives text; needs bytes: open it with mode 'rb'") from error
    except (OSError, ValueError) as error:  # ValueError: the file object is closed
        raise InvalidAudio(f"cannot read the file object: {error}", public=_UNREADABLE) from error
    if not isinstance(chunk, bytes | bytearray):
        raise InvalidAudio.for_anybody(
            f"the file object gives {type(chunk).__name__}; needs bytes: open it with mode 'rb'"
        )
    return bytes(chunk)


def _from_array(audio: Audio) -> Payload:
    import numpy as np

    array = audio.source
    if not isinstance(array, np.ndarray):
        raise InvalidAudio.for_anybody(f"audio is {type(array).__name__}; needs {_ACCEPTED}{_way_out(array)}")
    if audio.sampling_rate is None:
        raise InvalidAudio.for_anybody(
            "a numpy array does not tell its sampling rate: give sampling_rate, in Hz, as an argument or "
            "in Audio(array, sampling_rate=…)"
        )
    for name in ("encoding", "channels"):
        if getattr(audio, name) is not None:
            raise InvalidAudio.for_anybody(
                f"{name} is given for a numpy array, whose dtype and shape tell it: leave it out"
            )
    rate = _whole("sampling_rate", audio.sampling_rate)
    channels = _channels(array.shape)
    if array.dtype == np.int16:
        return Payload(array.astype("<i2", copy=False).tobytes(), "pcm_s16le", rate, channels)
    return Payload(_as_float(array).tobytes(), "pcm_f32le", rate, channels)


def _way_out(source: object) -> str:
    """Return, for an error message, how to convert an object that callers often pass; empty for other objects."""
    if isinstance(source, Mapping) and {"array", "sampling_rate"} <= source.keys():  # a row of `datasets`
        return ": give Audio(item['array'], sampling_rate=item['sampling_rate'])"
    if isinstance(source, tuple) and len(source) == 2:  # as soundfile, scipy, librosa and gradio return it
        return ": give Audio(array, sampling_rate=rate)"
    if hasattr(source, "__array__") or isinstance(source, list):
        return ": convert it with np.asarray(…)"
    return ""


def _channels(shape: tuple[int, ...]) -> int:
    if len(shape) not in (1, 2):
        raise InvalidAudio.for_anybody(f"array has shape {list(shape)}; needs [samples] or [samples, channels]")
    if 0 in shape:
        raise InvalidAudio.for_anybody(f"array has shape {list(shape)}: 0 samples")
    channels = shape[1] if len(shape) == 2 else 1
    if channels > shape[0]:
        raise InvalidAudio.for_anybody(
            f"array has shape {list(shape)}: more channels than samples; needs [samples, channels]: pass array.T"
        )
    if channels > MAX_CHANNELS:
        raise InvalidAudio.for_anybody(
            f"array has {channels} channels (shape {list(shape)}); needs at most {MAX_CHANNELS}"
        )
    return channels


def _as_float(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return little-endian float32 of the same shape; integers are divided by the full scale of their type in WAV."""
    import numpy as np

    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large values become Inf, and the server's error says so
            return array.astype("<f4", copy=False)
    if array.dtype == np.int32:
        return (array / 2.0**31).astype("<f4")
    if array.dtype == np.uint8:
        return ((array.astype(np.float32) - 128) / 128).astype("<f4")
    raise InvalidAudio.for_anybody(
        f"array has dtype {array.dtype}; needs a float type (±1), int16, int32 (full scale) or uint8 (offset 128)"
    )


def _whole(name: str, value: object) -> int:
    """Return `value` as a positive int. Numpy numbers and 16000.0 are valid: rates often come from a division."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or value < 1 or value % 1:
        raise InvalidAudio.for_anybody(f"{name} is {value!r}; needs a whole number, 1 or more")
    return int(float(value))

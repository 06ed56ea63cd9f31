"""Turns a recording, in any form that callers have, into the bytes to send and their encoding.

Nothing is decoded here: files are sent as they are, and the server reads them.
"""

import io
import numbers
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Union, get_args

from asr_contract.parameters import Value as ParameterValue

from asr_client._errors import AsrError, InvalidAudio, MessageTooLarge

if TYPE_CHECKING:
    import numpy as np

Encoding = Literal["file", "pcm_s16le", "pcm_f32le"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
AudioSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], "np.ndarray[Any, Any]"]
MAX_CHANNELS = 64  # as in the server's preprocess step
# Room in a message for the model's name, the parameters and the tensor headers.
MESSAGE_OVERHEAD_BYTES = 4096

_CHUNK_BYTES = 2**20
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")
# Linux takes no longer path. A file in base64, given by mistake, is much longer, and must not fill a message.
_LONGEST_PATH = 4096
_SHOWN_CHARACTERS = 200
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

    def pieces(self) -> "Pieces":
        """Return the payload in a form that can be sent in several messages."""
        return Pieces(lambda: io.BytesIO(self.data), self.parameters())


@dataclass(frozen=True)
class Pieces:
    """A recording that is sent in several messages."""

    open: Callable[[], IO[bytes]]  # opens it at its beginning, each time
    parameters: Mapping[str, ParameterValue]


def load(audio: Audio, max_message_bytes: int) -> Payload:
    """Read and, for an array, convert a recording. Blocks while it reads.

    Raises:
        InvalidAudio: it cannot be read, is empty, or its format is missing, contradictory or not supported.
        MessageTooLarge: it does not fit `max_message_bytes`; a file is not read further than that.
    """
    return _load(audio, max_message_bytes - MESSAGE_OVERHEAD_BYTES)


def _load(audio: Audio, limit: int) -> Payload:
    source = audio.source
    if isinstance(source, str) and _ADDRESS.match(source):
        raise InvalidAudio(f"{_shown(source)} is an address, and the client downloads nothing; needs {_ACCEPTED}")
    if isinstance(source, str) and len(source) > _LONGEST_PATH:
        raise InvalidAudio(
            f"audio is a str of {len(source):,} characters, {_shown(source)}; a str has to be a path: "
            "if it is a file in base64, decode it to bytes first"
        )
    if isinstance(source, str | os.PathLike):
        payload = _described(audio, lambda: _read_path(Path(os.fsdecode(source)), limit))
    elif isinstance(source, bytes | bytearray | memoryview):
        payload = _described(audio, lambda: bytes(source))
    elif callable(getattr(source, "read", None)):
        payload = _described(audio, lambda: _read_file(source, limit))  # type: ignore[arg-type]
    else:
        payload = _from_array(audio)
    if not payload.data:
        raise InvalidAudio(f"{audio.name or 'audio'} is empty: 0 bytes{_from_where(source)}")
    if len(payload.data) > limit:
        raise too_large(len(payload.data), limit + MESSAGE_OVERHEAD_BYTES)
    return payload


def pieces(audio: Audio) -> Pieces | None:
    """Return a recording that is too large for one message; None if it can be read only once."""
    source = audio.source
    if isinstance(source, str | os.PathLike):
        path = Path(os.fsdecode(source))
        return Pieces(lambda: path.open("rb"), _described(audio, bytes).parameters())
    if callable(getattr(source, "read", None)):
        return None
    return _load(audio, sys.maxsize).pieces()


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _from_where(source: object) -> str:
    """Return, for an error message, the position of a file object that gave no bytes; empty at its beginning."""
    try:
        position = source.tell()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # not a file, or one without positions, such as a pipe
        return ""
    return f" from where the file object stands, at byte {position:,}: call its seek(0) first" if position else ""


def too_large(size_bytes: int | None, limit_bytes: int) -> MessageTooLarge:
    """Return the error, which names the size, the limit, and what the caller can do."""
    got = "unknown size" if size_bytes is None else f"{size_bytes:,} bytes"
    return MessageTooLarge(
        f"audio of {got} does not fit the message limit of {limit_bytes:,} bytes: send FLAC or Opus instead of WAV, "
        "cut the recording, or raise the limit with Client(max_message_bytes=…) (a server or proxy may have its own)",
        size_bytes=size_bytes,
        limit_bytes=limit_bytes,
    )


def _described(audio: Audio, read: Callable[[], bytes]) -> Payload:
    """Return the bytes with the format that the caller gave. A wrong format is an error before anything is read."""
    encoding = audio.encoding or "file"
    if encoding not in ENCODINGS:
        raise InvalidAudio(f"encoding is {audio.encoding!r}; needs one of {', '.join(ENCODINGS)}")
    if encoding == "file":
        for name in ("sampling_rate", "channels"):
            if getattr(audio, name) is not None:
                raise InvalidAudio(
                    f"{name} is given for an audio file, whose own header tells it; "
                    "if these are raw samples, say encoding='pcm_s16le' or 'pcm_f32le'"
                )
        return Payload(read(), encoding)
    if audio.sampling_rate is None:
        raise InvalidAudio(f"encoding={encoding!r} needs sampling_rate, in Hz")
    rate = _whole("sampling_rate", audio.sampling_rate)
    channels = 1 if audio.channels is None else _whole("channels", audio.channels)
    return Payload(read(), encoding, rate, channels)


def _read_path(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise too_large(size, limit + MESSAGE_OVERHEAD_BYTES)
            return _read_file(file, limit)
    except OSError as error:
        raise InvalidAudio(f"cannot read {_shown(str(path))}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the path
        raise InvalidAudio(f"cannot read {str(path)!r}: {error}") from error


def _read_file(file: IO[bytes], limit: int) -> bytes:
    buffer = io.BytesIO()
    try:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            if not isinstance(chunk, bytes | bytearray):
                raise InvalidAudio(f"the file object gives {type(chunk).__name__}; needs bytes: open it with mode 'rb'")
            if not chunk:
                break
            buffer.write(chunk)
            if buffer.tell() > limit:
                raise too_large(None, limit + MESSAGE_OVERHEAD_BYTES)
    except AsrError:
        raise
    except UnicodeDecodeError as error:
        raise InvalidAudio("the file object gives text; needs bytes: open it with mode 'rb'") from error
    except (OSError, ValueError) as error:  # ValueError: the file object is closed
        raise InvalidAudio(f"cannot read the file object: {error}") from error
    return buffer.getvalue()


def _from_array(audio: Audio) -> Payload:
    import numpy as np

    array = audio.source
    if not isinstance(array, np.ndarray):
        raise InvalidAudio(f"audio is {type(array).__name__}; needs {_ACCEPTED}{_way_out(array)}")
    if audio.sampling_rate is None:
        raise InvalidAudio(
            "a numpy array does not tell its sampling rate: give sampling_rate, in Hz, as an argument or "
            "in Audio(array, sampling_rate=…)"
        )
    for name in ("encoding", "channels"):
        if getattr(audio, name) is not None:
            raise InvalidAudio(f"{name} is given for a numpy array, whose dtype and shape tell it: leave it out")
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
        raise InvalidAudio(f"array has shape {list(shape)}; needs [samples] or [samples, channels]")
    if 0 in shape:
        raise InvalidAudio(f"array has shape {list(shape)}: 0 samples")
    channels = shape[1] if len(shape) == 2 else 1
    if channels > shape[0]:
        raise InvalidAudio(
            f"array has shape {list(shape)}: more channels than samples; needs [samples, channels]: pass array.T"
        )
    if channels > MAX_CHANNELS:
        raise InvalidAudio(f"array has {channels} channels (shape {list(shape)}); needs at most {MAX_CHANNELS}")
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
    raise InvalidAudio(
        f"array has dtype {array.dtype}; needs a float type (±1), int16, int32 (full scale) or uint8 (offset 128)"
    )


def _whole(name: str, value: object) -> int:
    """Return `value` as a positive int. Numpy numbers and 16000.0 are valid: rates often come from a division."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or value < 1 or value % 1:
        raise InvalidAudio(f"{name} is {value!r}; needs a whole number, 1 or more")
    return int(float(value))

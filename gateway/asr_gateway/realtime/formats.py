"""The formats of audio that callers send, and what becomes of them: 16-bit samples, little-endian, one channel."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from asr_gateway.errors import ApiError
from asr_gateway.realtime.fields import Fields, wrong

Encoding = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
MIN_RATE, MAX_RATE = 8_000, 48_000  # Hz
PCM_RATE = 24_000  # Hz, by default; OpenAI takes no other one
TELEPHONE_RATE = 8_000  # Hz, of G.711
# What the Realtime API was called by before it left beta: an encoding without a rate.
BETA_NAMES: dict[str, Encoding] = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
SAMPLE_BYTES = 2  # of what comes out


@dataclass(frozen=True)
class AudioFormat:
    """How the bytes of a caller hold samples."""

    encoding: Encoding = "audio/pcm"
    rate: int = PCM_RATE

    def decoded(self, data: bytes) -> bytes:
        """Return the samples as 16-bit PCM at the same rate. PCM may end within a sample; G.711 cannot."""
        if self.encoding == "audio/pcm":
            return data
        table = _MU_LAW if self.encoding == "audio/pcmu" else _A_LAW
        return table[np.frombuffer(data, np.uint8)].tobytes()

    def described(self) -> dict[str, Any]:
        """Return the format as the API shows it."""
        shown: dict[str, Any] = {"type": self.encoding}
        return {**shown, "rate": self.rate} if self.encoding == "audio/pcm" else shown

    @property
    def beta_name(self) -> str:
        """Return the name that the format had in beta."""
        return next(name for name, encoding in BETA_NAMES.items() if encoding == self.encoding)


OPENAI_FORMAT = AudioFormat()


def read_format(audio: Fields, name: str, now: AudioFormat) -> AudioFormat:
    """Return the format that a field asks for: an object, or a name of the beta; without it, the one of now.

    Raises:
        ApiError: there is no such format.
    """
    value = audio.value(name)
    if value is None:
        return now
    if isinstance(value, str):
        if value not in BETA_NAMES:
            raise wrong(audio.path(name), value, f"one of {', '.join(BETA_NAMES)}")
        encoding = BETA_NAMES[value]
        return AudioFormat(encoding, _default_rate(encoding))
    fields = audio.object(name)
    assert fields is not None  # it has a value
    encoding = fields.choice("type", ENCODINGS) or now.encoding
    rate = fields.whole_number("rate", MIN_RATE, MAX_RATE)
    if rate is None:
        return AudioFormat(encoding, now.rate if encoding == now.encoding else _default_rate(encoding))
    if encoding != "audio/pcm" and rate != TELEPHONE_RATE:
        raise _no_rate(fields.path("rate"), rate, encoding)
    return AudioFormat(encoding, rate)


def _default_rate(encoding: Encoding) -> int:
    return PCM_RATE if encoding == "audio/pcm" else TELEPHONE_RATE


def _no_rate(path: str, rate: int, encoding: Encoding) -> ApiError:
    return wrong(path, rate, f"{TELEPHONE_RATE}, or no rate, for {encoding}")


def _mu_law() -> NDArray[np.int16]:
    """Return the sample of each byte of ITU-T G.711 µ-law, `[256]`."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 0x07, (code & 0x0F).astype(np.int32)
    level = (((mantissa << 3) + 0x84) << exponent) - 0x84
    return np.where(code & 0x80, -level, level).astype("<i2")


def _a_law() -> NDArray[np.int16]:
    """Return the sample of each byte of ITU-T G.711 A-law, `[256]`."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = ((code >> 4) & 0x07).astype(np.int32), (code & 0x0F).astype(np.int32)
    level = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, level, -level).astype("<i2")


_MU_LAW, _A_LAW = _mu_law(), _a_law()

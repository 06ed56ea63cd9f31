"""The request parameters that say how AUDIO is encoded."""

from collections.abc import Mapping

from container import PCM_DTYPES, PcmFormat
from samples import MAX_CHANNELS, MAX_SAMPLING_RATE, MIN_SAMPLING_RATE

ENCODINGS = ("file", *PCM_DTYPES)


class ParameterError(ValueError):
    """A request parameter is malformed; the message names the valid choices."""


def pcm_format(parameters: Mapping[str, object]) -> PcmFormat | None:
    """The layout of raw samples, or None when AUDIO is a file.

    Parameters of other steps of the ensemble (decoder options) are not looked at: the decode step refuses what no
    step knows.

    Raises:
        ParameterError: an unknown encoding, or a rate or channel count that is missing, malformed or out of range.
    """
    encoding = parameters.get("encoding", "file")
    if encoding not in ENCODINGS:
        raise ParameterError(f"encoding is {encoding!r}; needs one of {', '.join(ENCODINGS)}")
    if encoding == "file":
        for name in ("sample_rate", "channels"):
            if name in parameters:
                raise ParameterError(
                    f"{name} is only for raw samples (encoding={' or '.join(PCM_DTYPES)}): a file's own header tells it"
                )
        return None
    if "sample_rate" not in parameters:
        raise ParameterError(f"encoding={encoding} needs sample_rate, in Hz")
    rate = _integer(parameters, "sample_rate", 0, MIN_SAMPLING_RATE, MAX_SAMPLING_RATE)
    channels = _integer(parameters, "channels", 1, 1, MAX_CHANNELS)
    return PcmFormat(str(encoding), rate, channels)


def _integer(parameters: Mapping[str, object], name: str, default: int, low: int, high: int) -> int:
    value = parameters.get(name, default)
    # A bool is an int to Python; a string is what a client sends that has only text parameters.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(high)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ParameterError(f"{name} is {value!r}; needs a whole number from {low} to {high}")
    return value

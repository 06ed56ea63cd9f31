"""The request parameters of the decode step, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

# Read by the preprocess step, which has checked their values before this step runs.
AUDIO_PARAMETERS = ("encoding", "sample_rate", "channels")
DECODERS = ("greedy",)


class ParameterError(ValueError):
    """A request parameter is unknown or malformed; the message names the valid choices."""


@dataclass(frozen=True)
class DecodeOptions:
    """How to decode one request."""

    decoder: str = "greedy"  # one of DECODERS
    word_timestamps: bool = False  # fill WORDS; off by default because most callers read the text alone


def parse(parameters: Mapping[str, object]) -> DecodeOptions:
    """Options from the parameters of a request.

    Raises:
        ParameterError: a parameter that no step of the ensemble knows, or a malformed value.
    """
    own = {field.name for field in fields(DecodeOptions)}
    unknown = sorted(parameters.keys() - own - set(AUDIO_PARAMETERS))
    if unknown:
        valid = ", ".join((*AUDIO_PARAMETERS, *sorted(own)))
        raise ParameterError(f"unknown parameter {', '.join(map(repr, unknown))}; needs some of {valid}")
    decoder = parameters.get("decoder", "greedy")
    if decoder not in DECODERS:
        raise ParameterError(f"decoder is {decoder!r}; needs one of {', '.join(DECODERS)}")
    return DecodeOptions(str(decoder), _boolean(parameters, "word_timestamps"))


def _boolean(parameters: Mapping[str, object], name: str) -> bool:
    value = parameters.get(name, False)
    # A client that has only text parameters sends "true".
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise ParameterError(f"{name} is {value!r}; needs true or false")
    return value

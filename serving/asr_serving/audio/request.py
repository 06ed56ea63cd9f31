"""The request parameters that say how AUDIO is encoded, and what of it is heard."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from asr_contract.errors import ParameterError
from asr_contract.parameters import AudioOptions, DecodeOptions, parameter

from asr_serving.audio.container import PCM_DTYPES, PcmFormat
from asr_serving.audio.samples import Selection


def pcm_format(parameters: Mapping[str, object]) -> PcmFormat | None:
    """Return the layout of raw samples, or None if AUDIO is a file.

    It ignores the parameters of other steps (decoder options); the decode step refuses parameters that no step knows.

    Raises:
        ParameterError: an unknown encoding, or a rate or channel count that is missing, malformed or out of range.
    """
    encoding = _check(parameters, "encoding")
    if encoding == "file":
        for name in ("sample_rate", "channels"):
            if name in parameters:
                raise ParameterError(
                    f"{name} is only for raw samples (encoding={' or '.join(PCM_DTYPES)}): the header of a file has it"
                )
        return None
    if "sample_rate" not in parameters:
        raise ParameterError(f"encoding={encoding} needs sample_rate, in Hz")
    return PcmFormat(encoding, _check(parameters, "sample_rate"), _check(parameters, "channels"))


def selection(parameters: Mapping[str, object]) -> Selection:
    """Return which of the channels is heard.

    Raises:
        ParameterError: `channel` or `of_channels` is malformed or out of range.
    """
    return Selection(_check(parameters, "channel"), _check(parameters, "of_channels"))


def wants_vad(parameters: Mapping[str, object]) -> bool:
    """Return whether the voice detector decides what is speech.

    Raises:
        ParameterError: `vad` is malformed.
    """
    return bool(_check(parameters, "vad"))


def _check(parameters: Mapping[str, object], name: str) -> Any:
    option = next(option for option in (*fields(AudioOptions), *fields(DecodeOptions)) if option.name == name)
    return parameter(option).type.check(name, parameters[name]) if name in parameters else option.default

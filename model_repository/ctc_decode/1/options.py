"""The request parameters of the decode step, checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from hotwords import DEFAULT_WEIGHT, MAX_HOTWORDS, MAX_LABELS, Hotword

# Read by the preprocess step, which has checked their values before this step runs.
AUDIO_PARAMETERS = ("encoding", "sample_rate", "channels")
DECODERS = ("greedy", "beam")
MAX_BEAM_WIDTH = 1000
MAX_WEIGHT = 100.0  # nats for each difference; far below it a hotword is found in everything
MAX_LM_WEIGHT = 10.0  # far below it the recording is not listened to
MAX_WORD_SCORE = 100.0  # nats
_OF_BEAM = ("beam_width", "nbest", "lm_weight", "word_score")


class ParameterError(ValueError):
    """A request parameter is unknown or malformed; the message names the valid choices."""


@dataclass(frozen=True)
class DecodeOptions:
    """How to decode one request."""

    decoder: str = "greedy"  # one of DECODERS
    beam_width: int = 16  # prefixes that beam search keeps from frame to frame
    nbest: int = 1  # texts that beam search returns; beyond the best one in ALTERNATIVES
    lm_weight: float | None = None  # of the language model beside the acoustic one; 0: without it; None: the default
    word_score: float | None = None  # nats for each word, against a language model's bent for few; None: the default
    word_timestamps: bool = False  # fill WORDS; off by default because most callers read the text alone
    hotwords: tuple[Hotword, ...] = ()
    hotword_weight: float = DEFAULT_WEIGHT  # of those that have no weight of their own


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
    weight = _weight("hotword_weight", parameters.get("hotword_weight", DEFAULT_WEIGHT))
    if decoder != "beam" and (stray := [name for name in _OF_BEAM if name in parameters]):
        raise ParameterError(f"{' and '.join(stray)} given with decoder={decoder}; needs decoder=beam")
    beam_width = _integer(parameters, "beam_width", DecodeOptions.beam_width, MAX_BEAM_WIDTH)
    return DecodeOptions(
        decoder=str(decoder),
        beam_width=beam_width,
        nbest=_integer(parameters, "nbest", DecodeOptions.nbest, beam_width),
        lm_weight=_number(parameters, "lm_weight", 0, MAX_LM_WEIGHT),
        word_score=_number(parameters, "word_score", -MAX_WORD_SCORE, MAX_WORD_SCORE),
        word_timestamps=_boolean(parameters, "word_timestamps"),
        hotwords=_hotwords(parameters.get("hotwords", ""), weight),
        hotword_weight=weight,
    )


def _boolean(parameters: Mapping[str, object], name: str) -> bool:
    value = parameters.get(name, False)
    # A client that has only text parameters sends "true".
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise ParameterError(f"{name} is {value!r}; needs true or false")
    return value


def _integer(parameters: Mapping[str, object], name: str, default: int, high: int) -> int:
    value = parameters.get(name, default)
    # A client that has only text parameters sends "16".
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(high)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise ParameterError(f"{name} is {value!r}; needs a whole number from 1 to {high}")
    return value


def _number(parameters: Mapping[str, object], name: str, low: float, high: float) -> float | None:
    if name not in parameters:
        return None
    number = _float(parameters[name])
    if not low <= number <= high:
        raise ParameterError(f"{name} is {parameters[name]!r}; needs a number from {low:g} to {high:g}")
    return number


def _float(value: object) -> float:
    """NaN for what is no number; a client that has only text parameters sends "0.5"."""
    try:
        return math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _weight(name: str, value: object) -> float:
    weight = _float(value)
    if not 0 < weight <= MAX_WEIGHT:
        raise ParameterError(f"{name} is {value!r}; needs a number above 0, up to {MAX_WEIGHT:g} (nats)")
    return weight


def _hotwords(value: object, weight: float) -> tuple[Hotword, ...]:
    """`"acme, Quilter^5"` -> the words, with their weights."""
    if not isinstance(value, str):
        raise ParameterError(f"hotwords is {value!r}; needs words separated by commas, such as 'acme, Quilter^5'")
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    if len(entries) > MAX_HOTWORDS:
        raise ParameterError(f"hotwords holds {len(entries)} words; needs {MAX_HOTWORDS} or fewer")
    hotwords = []
    for entry in entries:
        text, mark, own = entry.partition("^")
        text = " ".join(text.split())
        if not text or len(text) > MAX_LABELS:
            raise ParameterError(f"hotword {entry[:120]!r}; needs WORD or WORD^WEIGHT, of 1 to {MAX_LABELS} characters")
        hotwords.append(Hotword(text, _weight(f"the weight of hotword {text!r}", own.strip()) if mark else weight))
    return tuple(hotwords)

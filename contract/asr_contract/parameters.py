"""The request parameters of the service: one entry each, with its type, range, default and meaning.

The client's `DecodeOptions`, the command line's options and the server's checks are all made from these entries. Triton
carries parameters as text, whole numbers and booleans. The server also understands "true" and "16" from clients that
can send only text.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, Protocol, TypedDict

from asr_contract.errors import ParameterError

Value = str | bool | int | float
Decoder = Literal["greedy", "beam"]
Task = Literal["transcribe", "translate"]
Encoding = Literal["file", "pcm_s16le", "pcm_f32le"]
Model = Literal["ctc", "whisper"]

# Sent with the last piece of a sequence: its caller has given up, and the server forgets the whole sequence.
DISCARD = "discard"
# Sent with a piece of a live stream: the current segment ends with it, and the stream goes on.
FLUSH = "flush"

MIN_SAMPLING_RATE = 4_000  # Hz
MAX_SAMPLING_RATE = 384_000  # Hz
MAX_CHANNELS = 64
MAX_BEAM_WIDTH = 1_000
MAX_HOTWORD_WEIGHT = 100.0  # nats for each difference; far lower weights already find a hotword everywhere
MAX_LM_WEIGHT = 10.0  # far lower weights already ignore the recording
MAX_WORD_SCORE = 100.0  # nats
MIN_SILENCE_MS = 100  # a shorter silence is part of many words
MAX_SILENCE_MS = 10_000  # a longer one holds nothing that a segment could wait for
MAX_NEW_TOKENS = 448  # positions of the decoder of each Whisper that OpenAI published; a prompt takes some of them


class Type(Protocol):
    """The type of a parameter: it checks values."""

    def check(self, name: str, value: object) -> Value:
        """Return the value in this type.

        Raises:
            ParameterError: the value has another type or is out of range; the message says what is valid.
        """


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, name: str, value: object) -> bool:
        """See `Type.check`."""
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower(), value)
        if not isinstance(value, bool):
            raise ParameterError(f"{name} is {value!r}; needs true or false")
        return value


@dataclass(frozen=True)
class Integer:
    """A whole number within a range that includes both ends."""

    low: int
    high: int

    def check(self, name: str, value: object) -> int:
        """See `Type.check`."""
        # Python raises an error for a number of more than 4,300 digits.
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(self.high)):
            value = int(value)
        # A bool is an int to Python.
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ParameterError(f"{name} is {value!r}; needs a whole number from {self.low} to {self.high}")
        return value


@dataclass(frozen=True)
class Number:
    """A number within a range; the range includes the lower end unless `above` is set."""

    low: float
    high: float
    unit: str = ""
    above: bool = False

    def check(self, name: str, value: object) -> float:
        """See `Type.check`."""
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not self.low <= number <= self.high or (self.above and number == self.low):
            unit = f" ({self.unit})" if self.unit else ""
            bounds = f"above {self.low:g}, up to" if self.above else f"from {self.low:g} to"
            raise ParameterError(f"{name} is {value!r}; needs a number {bounds} {self.high:g}{unit}")
        return number


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    values: tuple[str, ...]

    def check(self, name: str, value: object) -> str:
        """See `Type.check`."""
        if not isinstance(value, str) or value not in self.values:
            raise ParameterError(f"{name} is {value!r}; needs one of {', '.join(self.values)}")
        return value


@dataclass(frozen=True)
class Text:
    """Any text; the code that uses it checks its content."""

    what: str = "text"

    def check(self, name: str, value: object) -> str:
        """See `Type.check`."""
        if not isinstance(value, str):
            raise ParameterError(f"{name} is {value!r}; needs {self.what}")
        return value


HOTWORD_WEIGHT = Number(0, MAX_HOTWORD_WEIGHT, "nats", above=True)


@dataclass(frozen=True)
class Parameter:
    """Everything about a request parameter except its name and default."""

    type: Type
    models: tuple[Model, ...]
    help: str  # of the command line
    beam_only: bool = False  # only with decoder=beam
    whole_only: bool = False  # for recordings that the model takes as a whole; not for long ones and live streams


def _parameter(
    default: Any, type_: Type, *models: Model, help: str, beam_only: bool = False, whole_only: bool = False
) -> Any:
    return field(default=default, metadata={"parameter": Parameter(type_, models, help, beam_only, whole_only)})


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How the server decodes. Each field is a request parameter of the same name; None lets the server choose."""

    word_timestamps: bool = _parameter(False, Flag(), "ctc", "whisper", help="Tell when each word was said.")
    decoder: Decoder = _parameter(
        "greedy",
        Choice(("greedy", "beam")),
        "ctc",
        help="beam: the likeliest text over all of its alignments; slower.",
    )
    beam_width: int = _parameter(
        16, Integer(1, MAX_BEAM_WIDTH), "ctc", help="Prefixes that beam search keeps.", beam_only=True
    )
    lm_weight: float | None = _parameter(
        None,
        Number(0, MAX_LM_WEIGHT),
        "ctc",
        help="Weight of the server's language model, with beam search; 0: without it.",
        beam_only=True,
    )
    word_score: float | None = _parameter(
        None,
        Number(-MAX_WORD_SCORE, MAX_WORD_SCORE, "nats"),
        "ctc",
        help="Nats for each word; a language model prefers few words without it.",
        beam_only=True,
    )
    nbest: int = _parameter(
        1,
        Integer(1, MAX_BEAM_WIDTH),
        "ctc",
        help="How many texts of beam search to return.",
        beam_only=True,
        whole_only=True,
    )
    # A list of words, or one text: "acme, Quilter^5" (Quilter with its own weight).
    hotwords: str | Sequence[str] = _parameter(
        "",
        Text("words separated by commas, such as 'acme, Quilter^5'"),
        "ctc",
        help="Listen for these words; WORD^5 for one more than others.",
    )
    hotword_weight: float = _parameter(
        4.0,  # docs/decoding.md says how it was chosen
        HOTWORD_WEIGHT,
        "ctc",
        help="Nats for each label that a hotword may differ from what was heard.",
    )
    vad: bool = _parameter(
        False,
        Flag(),
        "ctc",
        "whisper",
        help="Write nothing where a voice detector finds no speech: silence, music, noise.",
    )
    language: str | None = _parameter(
        None,
        Text("a language such as de or german, or auto"),
        "whisper",
        help="Code or English name of the language; auto: detect it.  [default: the model's]",
    )
    task: Task | None = _parameter(
        None, Choice(("transcribe", "translate")), "whisper", help="translate: into English.  [default: the model's]"
    )
    timestamps: bool = _parameter(False, Flag(), "whisper", help="Tell when each segment was said.")
    prompt: str = _parameter("", Text(), "whisper", help="What was said before, or names and their spelling.")
    max_new_tokens: int | None = _parameter(
        None, Integer(1, MAX_NEW_TOKENS), "whisper", help="Most tokens of one window of 30 s."
    )
    temperature_fallback: bool = _parameter(
        False, Flag(), "whisper", help="Decode again where the text repeats itself or is unlikely."
    )

    def __post_init__(self) -> None:
        if not isinstance(self.hotwords, str):
            object.__setattr__(self, "hotwords", _joined(self.hotwords))

    @property
    def hotword_text(self) -> str:
        """Return the hotwords as one text, separated by commas."""
        return str(self.hotwords)  # a text since `__post_init__`

    def parameters(self) -> dict[str, Value]:
        """Return the request parameters without defaults, so that an older server need not know newer options."""
        return {
            option.name: getattr(self, option.name)
            for option in fields(self)
            if getattr(self, option.name) != option.default
        }


def _joined(hotwords: object) -> str:
    """Return the words as one text, separated by commas, as a request carries them.

    Raises:
        ParameterError: there are no words, or a word contains a comma.
    """
    if not isinstance(hotwords, list | tuple | set | frozenset):
        raise ParameterError(
            f"hotwords is {type(hotwords).__name__}; needs a list of words, or text such as 'acme, Quilter^5'"
        )
    for word in hotwords:
        if not isinstance(word, str) or "," in word or not word.strip():
            raise ParameterError(f"hotwords holds {word!r}; needs a word or a phrase, without a comma, for each item")
    return ",".join(hotwords)


class DecodeParameters(TypedDict, total=False):
    """The fields of `DecodeOptions` as keyword arguments, for type checkers. A test compares the two."""

    word_timestamps: bool
    decoder: Decoder
    beam_width: int
    lm_weight: float | None
    word_score: float | None
    nbest: int
    hotwords: str | Sequence[str]
    hotword_weight: float
    vad: bool
    language: str | None
    task: Task | None
    timestamps: bool
    prompt: str
    max_new_tokens: int | None
    temperature_fallback: bool


@dataclass(frozen=True, kw_only=True)
class AudioOptions:
    """How AUDIO is encoded, and which channel is heard. Whatever reads AUDIO takes these; other steps ignore them."""

    encoding: Encoding = _parameter(
        "file", Choice(("file", "pcm_s16le", "pcm_f32le")), "ctc", "whisper", help="What the bytes are."
    )
    sample_rate: int | None = _parameter(
        None, Integer(MIN_SAMPLING_RATE, MAX_SAMPLING_RATE), "ctc", "whisper", help="Of raw samples, in Hz."
    )
    channels: int = _parameter(1, Integer(1, MAX_CHANNELS), "ctc", "whisper", help="Of raw samples, interleaved.")
    channel: int | None = _parameter(
        None,
        Integer(0, MAX_CHANNELS - 1),
        "ctc",
        "whisper",
        help="The only channel that is heard, from 0.  [default: the mean of all]",
    )
    # Whoever asks for each channel has to guess how many there are; the refusal of a wrong guess tells the number.
    of_channels: int | None = _parameter(
        None, Integer(1, MAX_CHANNELS), "ctc", "whisper", help="How many channels the recording has to have."
    )


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a live stream is divided. Only the models for live streams take these parameters, with the first piece."""

    silence_ms: int | None = _parameter(
        None,
        Integer(MIN_SILENCE_MS, MAX_SILENCE_MS),
        "ctc",
        "whisper",
        help="Silence that ends a segment.  [default: the model's]",
    )

    def parameters(self) -> dict[str, Value]:
        """Return the request parameters without defaults."""
        return {} if self.silence_ms is None else {"silence_ms": self.silence_ms}


AUDIO_PARAMETERS = tuple(option.name for option in fields(AudioOptions))
CHANNEL_PARAMETERS = ("channel", "of_channels")  # of recordings; a live stream has none
STREAM_PARAMETERS = (*(option.name for option in fields(StreamOptions)), FLUSH)


def parameter(option: "Field[Any]") -> Parameter:
    """Return the parameter that belongs to a field of `DecodeOptions`, `AudioOptions` or `StreamOptions`."""
    found = option.metadata["parameter"]
    assert isinstance(found, Parameter)
    return found


def names(model: Model) -> tuple[str, ...]:
    """Return the names of a model kind's parameters, those of AUDIO first."""
    own = [option.name for option in fields(DecodeOptions) if model in parameter(option).models]
    return (*AUDIO_PARAMETERS, *sorted(own))


def read(received: Mapping[str, object], model: Model) -> DecodeOptions:
    """Return the options in a request's parameters; it ignores the parameters of AUDIO.

    Raises:
        ParameterError: this kind of model does not have the parameter, its value is malformed, or it needs another one.
    """
    if stray := [name for name in STREAM_PARAMETERS if name in received]:
        raise ParameterError(f"{', '.join(stray)} is for live streams, not for recordings")
    if unknown := sorted(received.keys() - set(names(model))):
        raise ParameterError(
            f"unknown parameter {', '.join(map(repr, unknown))}; needs some of {', '.join(names(model))}; live streams "
            f"also take {', '.join(STREAM_PARAMETERS)}"
        )
    own = [option for option in fields(DecodeOptions) if option.name in received]
    # `received` has been checked by name; each value is checked by its type.
    options = DecodeOptions(
        **{  # type: ignore[arg-type]
            option.name: parameter(option).type.check(option.name, received[option.name]) for option in own
        }
    )
    stray = [option.name for option in own if parameter(option).beam_only and options.decoder != "beam"]
    if stray:
        raise ParameterError(f"{' and '.join(stray)} given with decoder={options.decoder}; needs decoder=beam")
    Integer(1, options.beam_width).check("nbest", options.nbest)  # a beam holds at most `beam_width` texts
    return options


def read_stream(received: Mapping[str, object]) -> tuple[StreamOptions, dict[str, object]]:
    """Return the options of a live stream in the parameters of its first piece, and all other parameters.

    Raises:
        ParameterError: a value is malformed.
    """
    options = StreamOptions(
        **{  # type: ignore[arg-type]  # each value is checked by its type
            option.name: parameter(option).type.check(option.name, received[option.name])
            for option in fields(StreamOptions)
            if option.name in received
        }
    )
    return options, {name: value for name, value in received.items() if name not in STREAM_PARAMETERS}


def flushes(received: Mapping[str, object]) -> bool:
    """Return whether a piece of a live stream ends the current segment.

    Raises:
        ParameterError: the value is malformed.
    """
    return Flag().check(FLUSH, received.get(FLUSH, False))


def refuse_whole_only(received: Mapping[str, object], what: str) -> None:
    """Raise an error for parameters that long recordings and live streams do not have.

    Args:
        received: the parameters of a request.
        what: "long recordings" or "live streams", for the message.

    Raises:
        ParameterError: the request has such a parameter.
    """
    if stray := whole_only(received):
        raise ParameterError(f"{', '.join(stray)} is for recordings that the model takes at once, not for {what}")


def whole_only(received: Mapping[str, object]) -> list[str]:
    """Return the names of the parameters of a request that long recordings and live streams do not have."""
    return [option.name for option in fields(DecodeOptions) if parameter(option).whole_only and option.name in received]

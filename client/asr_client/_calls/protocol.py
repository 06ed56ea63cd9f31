"""The service's contract, without any network: what to send, and what an answer means.

An `Operation` is one question to the server; a transport sends it (`_transports`).
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from asr_contract.parameters import DISCARD
from asr_contract.parameters import Value as ParameterValue
from asr_contract.tensors import ALTERNATIVES, CONFIDENCE, DURATION, INPUTS, LANGUAGE, SEGMENTS, TRANSCRIPT, WORDS
from asr_contract.tensors import OUTPUTS as ALL_OUTPUTS

from asr_client._audio import Payload
from asr_client._errors import ModelMismatch, ServerError
from asr_client._options import DecodeOptions
from asr_client._results import Alternative, Segment, Transcription, Word, segments_of

if TYPE_CHECKING:
    import numpy as np

# Every ensemble has these outputs; some kinds of models also have the optional ones.
OUTPUTS = {output.name: output.datatype for output in ALL_OUTPUTS if not output.optional}
OPTIONAL_OUTPUTS = frozenset(output.name for output in ALL_OUTPUTS if output.optional)

_MEASURES = ("avg_logprob", "compression_ratio", "no_speech_prob", "temperature")  # of segments, where known

Answer = TypeVar("Answer")
Tensors = Mapping[str, "np.ndarray[Any, Any] | None"]


class Operation(Generic[Answer]):
    """One question to the server; the type parameter is the type of its answer."""

    @property
    def obstacle(self) -> str | None:
        """Return why it cannot be asked again; None if it can be."""
        return None


@dataclass(frozen=True)
class ServerReady(Operation[bool]):
    """Asks whether the server takes requests."""


@dataclass(frozen=True)
class ModelReady(Operation[bool]):
    """Asks whether this model takes requests."""

    model: str
    version: str


@dataclass(frozen=True)
class ModelDescription:
    """The tensors of a model: name -> Triton data type."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class DescribeModel(Operation[ModelDescription]):
    """Asks for the inputs and outputs of this model."""

    model: str
    version: str


@dataclass(frozen=True)
class ModelSettings:
    """What a model's configuration says."""

    parameters: Mapping[str, str]
    steps: tuple[str, ...]  # the models of an ensemble, in their order


@dataclass(frozen=True)
class DescribeSettings(Operation[ModelSettings]):
    """Asks for the configuration of this model."""

    model: str
    version: str


@dataclass(frozen=True)
class ListModels(Operation[tuple[str, ...]]):
    """Asks for the names of the models that take requests, steps of ensembles among them."""


@dataclass(frozen=True)
class Infer(Operation[Tensors]):
    """Asks for the transcript of a recording."""

    model: str
    version: str  # "" leaves the choice to the server
    audio: bytes  # the one element of AUDIO, wire shape [1, 1]
    parameters: Mapping[str, ParameterValue]
    outputs: tuple[str, ...]  # names of the tensors to read; OPTIONAL_OUTPUTS may be absent


@dataclass(frozen=True)
class Piece(Operation["Said"]):
    """Sends one piece of a sequence: of a live stream, or of a long recording.

    It needs a stream of a transport, and may have several answers.
    """

    model: str
    sequence: int
    audio: bytes
    parameters: Mapping[str, ParameterValue]
    outputs: tuple[str, ...]
    is_first: bool
    is_last: bool

    def farewell(self) -> "Piece":
        """Return the piece that gives the sequence up after this one: the server then forgets it."""
        return replace(self, audio=b"", parameters={DISCARD: True}, is_first=False, is_last=True)


@dataclass(frozen=True)
class Said:
    """One answer to a piece."""

    tensors: Tensors
    is_final: bool  # the last answer to this piece


def new_sequence() -> int:
    """Return a random id for a sequence."""
    return secrets.randbelow(2**63 - 1) + 1  # 0 means none


class Asked(Protocol):
    """A question that an answer belongs to."""

    @property
    def model(self) -> str:
        """Return the name of the model that answers."""

    @property
    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return the parameters of the request."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the tensors to read."""


def infer(model: str, version: str, payload: Payload, options: DecodeOptions) -> Infer:
    """Return the request for one transcript."""
    parameters = {**payload.parameters(), **options.parameters()}
    alternatives = (ALTERNATIVES,) if options.nbest > 1 else ()
    return Infer(model, version, payload.data, parameters, (*outputs(options), *alternatives))


def outputs(options: DecodeOptions) -> tuple[str, ...]:
    """Return the outputs to read; WORDS is among them if times are asked for.

    LANGUAGE and SEGMENTS are read where the answer has them: an answer holds all outputs of its model, and older
    servers have no SEGMENTS.
    """
    is_timed = options.word_timestamps or options.timestamps
    return (*(name for name in OUTPUTS if name != WORDS or is_timed), LANGUAGE, SEGMENTS)


def transcription(request: Asked, tensors: Tensors, start: float = 0.0) -> Transcription:
    """Return the transcript in an answer.

    Args:
        request: the question.
        tensors: those named in `request.outputs`, each with one element, in any shape.
        start: of what the answer is about, in seconds from the beginning of the recording.

    Raises:
        ServerError: an output is missing, empty or malformed.
    """
    present = [name for name in request.outputs if name not in OPTIONAL_OUTPUTS or tensors.get(name) is not None]
    elements = {name: _element(request.model, name, tensors.get(name)) for name in present}
    try:
        text, words = elements[TRANSCRIPT].decode(), _words(elements[WORDS]) if WORDS in elements else ()
        confidence, duration = float(elements[CONFIDENCE]), float(elements[DURATION])
        segments = _segments(elements[SEGMENTS]) if SEGMENTS in elements else ()
        if not segments and _words_are_segments(request):
            segments = tuple(Segment(word.word, word.start, word.end, word.confidence) for word in words)
        return Transcription(
            text=text,
            confidence=confidence,
            duration=duration,
            words=words,
            language=elements[LANGUAGE].decode() if LANGUAGE in elements else None,
            alternatives=_alternatives(elements[ALTERNATIVES]) if ALTERNATIVES in elements else (),
            segments=segments or segments_of(text, confidence, words, start, duration),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ServerError(f"model {request.model!r} gave a malformed answer: {error!r}") from error


def joined(segments: Sequence[Transcription]) -> Transcription:
    """Return the segments of a long recording as one transcript.

    Of an export of an earlier version, a Whisper gives none for silence.
    """
    if not segments:
        return Transcription("", 0.0, 0.0)
    lengths = [len(segment.text) for segment in segments]
    weights = lengths if any(lengths) else [1] * len(segments)
    confidences = [segment.confidence for segment in segments]
    return Transcription(
        text="".join(segment.text for segment in segments).strip(),
        confidence=sum(map(mul, confidences, weights)) / sum(weights),
        duration=segments[-1].duration,
        words=tuple(word for segment in segments for word in segment.words),
        language=next((segment.language for segment in segments if segment.language), None),
        segments=tuple(part for segment in segments for part in segment.segments),
    )


def _words_are_segments(request: Asked) -> bool:
    """Return whether WORDS of a Whisper holds segments."""
    return bool(request.parameters.get("timestamps")) and not request.parameters.get("word_timestamps")


def _alternatives(element: bytes) -> tuple[Alternative, ...]:
    return tuple(Alternative(str(one["text"]), float(one["score"])) for one in json.loads(element))


def check_description(model: str, description: ModelDescription) -> None:
    """Raise ModelMismatch, which names every difference, unless this is a speech recognition ensemble."""
    differences = []
    for kind, expected, found in (
        ("input", INPUTS, description.inputs),
        ("output", OUTPUTS, description.outputs),
    ):
        for name, datatype in expected.items():
            if name not in found:
                differences.append(f"no {kind} {name} (it has {', '.join(found) or 'none'})")
            elif found[name] != datatype:
                differences.append(f"{kind} {name} is {found[name]}, not {datatype}")
    # Another version may have more outputs. More inputs are an error, because this client cannot fill them.
    differences += [f"unknown input {name}" for name in description.inputs if name not in INPUTS]
    if differences:
        raise ModelMismatch(
            f"model {model!r} is not a speech recognition ensemble of this kit: {'; '.join(differences)}. "
            "Give the name of the ensemble (as in export --name), not of one of its steps",
            public=f"model {model!r} is not one for speech recognition",
        )


def _element(model: str, name: str, tensor: "np.ndarray[Any, Any] | None") -> Any:
    if tensor is None:
        raise ServerError(f"model {model!r} gave no output {name}; needs {', '.join(OUTPUTS)}")
    if tensor.size != 1:
        hint = (
            " (a sign of numpy 2 in the server's Python, which Triton 24.10 does not support)"
            if not tensor.size
            else ""
        )
        raise ServerError(f"model {model!r} gave {name} of shape {list(tensor.shape)}; needs one element{hint}")
    return tensor.reshape(-1)[0]


def _words(data: bytes) -> tuple[Word, ...]:
    return tuple(
        Word(str(word["word"]), float(word["start"]), float(word["end"]), float(word["confidence"]))
        for word in json.loads(data)
    )


def _segments(data: bytes) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            str(segment["text"]),
            float(segment["start"]),
            float(segment["end"]),
            float(segment["confidence"]),
            **_measures(segment),
        )
        for segment in json.loads(data)
    )


def _measures(segment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers that only a Whisper has, as far as this segment has them."""
    return {name: float(segment[name]) for name in _MEASURES if segment.get(name) is not None}

"""A transport without a network, for tests of programs that use this client."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import cast

import numpy as np
from asr_contract.names import DEFAULT_NAME, LONG_SUFFIX, STREAM_SUFFIX
from asr_contract.tensors import INPUTS, LANGUAGE

from asr_client._calls.protocol import (
    OUTPUTS,
    Answer,
    DescribeModel,
    DescribeSettings,
    Infer,
    ListModels,
    ModelDescription,
    ModelReady,
    ModelSettings,
    Operation,
    Piece,
    Said,
    ServerReady,
    Tensors,
)
from asr_client._errors import InvalidOption
from asr_client._results import ModelInfo, StreamResult, Transcription

Handler = Callable[[Infer], Transcription]
LiveHandler = Callable[[Piece], Iterable[StreamResult]]
_FINAL = ("text", "start", "end", "confidence", "words")


class MockTransport:
    """Answers every request by calling `handler`, which returns a Transcription or raises an AsrError.

    When a recording is too long for one message, or the handler raises `AudioTooLong`, the handler gets the whole
    recording for the model NAME_long, and returns its only segment. `live` gets each piece of a live stream, and
    returns its new results, at most one of which is partial.

    Use it as `Client(transport=…)` and, wrapped by `asynchronous()`, as `AsyncClient(transport=…)`. The server and
    every model are always ready.

    Args:
        handler: gets each request, whatever its model.
        live: gets each piece of a live stream.
        models: the answer of `Client.models()`; by default the model "asr" alone.
    """

    supports_streams = True

    def __init__(
        self, handler: Handler, live: LiveHandler | None = None, models: Iterable[ModelInfo] | None = None
    ) -> None:
        self._handler = handler
        self._live = live
        asr = ModelInfo(DEFAULT_NAME, takes_long=True, takes_streams=live is not None, knows_languages=False)
        self._models = {model.name: model for model in ((asr,) if models is None else models)}

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Call the handler; `timeout_s` has no effect."""
        del timeout_s
        match operation:
            case Infer():
                return cast("Answer", _tensors(self._handler(operation)))
            case DescribeModel(model):
                known = self._models.get(model)
                languages = {LANGUAGE: "BYTES"} if known and known.knows_languages else {}
                return cast("Answer", ModelDescription(INPUTS, {**OUTPUTS, **languages}))
            case DescribeSettings():
                return cast("Answer", ModelSettings({}, ()))
            case ListModels():
                return cast("Answer", tuple(name for model in self._models.values() for name in _names(model)))
            case ServerReady() | ModelReady():
                return cast("Answer", True)
            case _:
                raise TypeError(f"unknown operation {operation!r}")

    def open_stream(self, silence_s: float | None) -> "MockStream":
        """Return a stream to the handlers; `silence_s` has no effect."""
        del silence_s
        return MockStream(self._handler, self._live)

    def close(self) -> None:
        """Do nothing: there is no connection to close."""

    def asynchronous(self) -> "AsyncMockTransport":
        """Return this transport for `AsyncClient`."""
        return AsyncMockTransport(self)


class MockStream:
    """A stream of a MockTransport, for either client."""

    def __init__(self, handler: Handler, live: LiveHandler | None) -> None:
        self._handler = handler
        self._live = live
        self._audio = b""
        self._answers: list[Said] = []

    def send(self, piece: Piece) -> None:
        """Call the handler."""
        if piece.model.endswith(STREAM_SUFFIX):
            if self._live is None:
                raise InvalidOption("a live stream needs a handler of its own: MockTransport(handler, live=…)")
            self._answers = [Said(_live_tensors(list(self._live(piece))), is_final=True)]
            return
        self._audio += piece.audio
        self._answers = [Said({}, is_final=True)]
        if piece.is_last:
            whole = Infer(piece.model, "", self._audio, piece.parameters, piece.outputs)
            self._answers.insert(0, Said(_tensors(self._handler(whole)), is_final=False))

    def receive(self) -> Said:
        """Return the next answer."""
        return self._answers.pop(0)

    def close(self) -> None:
        """Do nothing: there is no connection to close."""


class AsyncMockTransport:
    """A MockTransport for `AsyncClient`."""

    supports_streams = True

    def __init__(self, transport: MockTransport) -> None:
        self._transport = transport

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Call the handler."""
        return self._transport.send(operation, timeout_s)

    def open_stream(self, silence_s: float | None) -> "AsyncMockStream":
        """Return a stream to the handlers."""
        return AsyncMockStream(self._transport.open_stream(silence_s))

    async def aclose(self) -> None:
        """Do nothing: there is no connection to close."""


class AsyncMockStream:
    """A MockStream for `AsyncClient`."""

    def __init__(self, stream: MockStream) -> None:
        self._stream = stream

    def send(self, piece: Piece) -> None:
        """Call the handler."""
        self._stream.send(piece)

    async def receive(self) -> Said:
        """Return the next answer."""
        return self._stream.receive()

    async def aclose(self) -> None:
        """Do nothing: there is no connection to close."""


def _names(model: ModelInfo) -> Iterator[str]:
    """Yield the names of the models on a server that make up this one."""
    yield model.name
    if model.takes_long:
        yield model.name + LONG_SUFFIX
    if model.takes_streams:
        yield model.name + STREAM_SUFFIX


def _tensors(result: Transcription) -> Tensors:
    words = json.dumps([asdict(word) for word in result.words])
    alternatives = json.dumps([asdict(alternative) for alternative in result.alternatives])
    segments = json.dumps([asdict(segment) for segment in result.segments])
    return {
        "TRANSCRIPT": np.array([[result.text.encode()]], dtype=np.object_),
        "CONFIDENCE": np.array([[result.confidence]], dtype=np.float32),
        "DURATION": np.array([[result.duration]], dtype=np.float32),
        "WORDS": np.array([[words.encode()]], dtype=np.object_),
        "ALTERNATIVES": np.array([[alternatives.encode()]], dtype=np.object_),
        "SEGMENTS": np.array([[segments.encode()]], dtype=np.object_),
        "LANGUAGE": None if result.language is None else np.array([[result.language.encode()]], dtype=np.object_),
    }


def _live_tensors(results: list[StreamResult]) -> Tensors:
    partial = next((result for result in results if not result.is_final), None)
    finals = [
        {name: value for name, value in asdict(result).items() if name in _FINAL}
        for result in results
        if result.is_final
    ]
    return {
        "PARTIAL": np.array([[partial.text.encode() if partial else b""]], dtype=np.object_),
        "STABLE": np.array([[len(partial.stable) if partial else 0]], dtype=np.int32),
        "FINALS": np.array([[json.dumps(finals).encode()]], dtype=np.object_),
        "DURATION": np.array([[max((result.seconds for result in results), default=0.0)]], dtype=np.float32),
        "START": np.array([[-1.0 if partial is None or partial.start is None else partial.start]], dtype=np.float32),
    }

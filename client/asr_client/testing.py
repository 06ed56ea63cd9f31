"""A transport without a network, for the tests of what is built on this client."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import cast

import numpy as np

from asr_client._live import Live
from asr_client._protocol import (
    INPUTS,
    OUTPUTS,
    Answer,
    DescribeModel,
    Infer,
    InferLong,
    ModelDescription,
    ModelReady,
    Operation,
    ServerReady,
    Tensors,
)
from asr_client._results import Transcription
from asr_client._transports.base import AsyncLiveCall, LiveCall, no_streams


class MockTransport:
    """Answers every request by calling `handler`, which returns a Transcription or raises an AsrError.

    A recording that is too long for one message, or for which the handler raises `InvalidRequest("audio is too long")`,
    comes to the handler as a whole, for the model NAME_long; what it returns is the only segment.

    Serves `Client(transport=…)` and, wrapped by `asynchronous()`, `AsyncClient(transport=…)`. The server and its model
    are always ready.
    """

    def __init__(self, handler: Callable[[Infer], Transcription]) -> None:
        self._handler = handler

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Call the handler; a timeout is the handler's own business."""
        del timeout_s
        match operation:
            case Infer():
                return cast("Answer", _tensors(self._handler(operation)))
            case InferLong(model, version, pieces, parameters, outputs, _, on_answer):
                with pieces.open() as file:
                    whole = Infer(model, version, file.read(), parameters, outputs)
                tensors = _tensors(self._handler(whole))
                on_answer(tensors)
                return cast("Answer", (tensors,))
            case DescribeModel():
                return cast("Answer", ModelDescription(INPUTS, OUTPUTS))
            case ServerReady() | ModelReady():
                return cast("Answer", True)
            case _:
                raise TypeError(f"unknown operation {operation!r}")

    def open_live(self, live: Live, silence_s: float | None) -> LiveCall:
        """Refused."""
        raise no_streams("MockTransport")

    def close(self) -> None:
        """Nothing to close."""

    def asynchronous(self) -> "AsyncMockTransport":
        """The same for `AsyncClient`."""
        return AsyncMockTransport(self)


class AsyncMockTransport:
    """A MockTransport for `AsyncClient`."""

    def __init__(self, transport: MockTransport) -> None:
        self._transport = transport

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Call the handler."""
        return self._transport.send(operation, timeout_s)

    def open_live(self, live: Live, silence_s: float | None) -> AsyncLiveCall:
        """Refused."""
        raise no_streams("MockTransport")

    async def aclose(self) -> None:
        """Nothing to close."""


def _tensors(result: Transcription) -> Tensors:
    words = json.dumps([asdict(word) for word in result.words])
    alternatives = json.dumps([asdict(alternative) for alternative in result.alternatives])
    return {
        "TRANSCRIPT": np.array([[result.text.encode()]], dtype=np.object_),
        "CONFIDENCE": np.array([[result.confidence]], dtype=np.float32),
        "DURATION": np.array([[result.duration]], dtype=np.float32),
        "WORDS": np.array([[words.encode()]], dtype=np.object_),
        "ALTERNATIVES": np.array([[alternatives.encode()]], dtype=np.object_),
        "LANGUAGE": None if result.language is None else np.array([[result.language.encode()]], dtype=np.object_),
    }

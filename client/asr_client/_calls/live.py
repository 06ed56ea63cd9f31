"""A live stream as a dialogue: it turns chunks of any size into pieces, and answers into results."""

import json
import math
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Union

from asr_contract.names import STREAM_SUFFIX
from asr_contract.parameters import Value as ParameterValue
from asr_contract.tensors import STREAM_OUTPUTS

from asr_client import _audio
from asr_client._audio import Audio, Encoding, Payload
from asr_client._calls.protocol import Piece, new_sequence
from asr_client._calls.steps import END, Dialogue, Give, Hear, Next, Steps
from asr_client._errors import InvalidAudio, ServerError, StreamLost
from asr_client._options import DecodeOptions
from asr_client._results import StreamResult, Word
from asr_client._transports.base import AsyncStream, Stream

if TYPE_CHECKING:
    import numpy as np

OUTPUTS = tuple(output.name for output in STREAM_OUTPUTS)
# Shorter chunks are sent together, because each piece costs the server some time, however short it is.
SHORTEST_PIECE_S = 0.1
LONGEST_PIECE_S = 5.0
Chunk = Union[bytes, bytearray, memoryview, "np.ndarray[Any, Any]"]
Chunks = Iterable[Chunk]
AnyChunks = Iterable[Chunk] | AsyncIterable[Chunk]


class Live(Dialogue[None]):
    """The dialogue of a live stream. Its steps give `StreamResult`s, and have no answer at the end.

    Args:
        model: the ensemble's name.
        chunks: the samples of the stream.
        sampling_rate: Hz.
        encoding: of bytes, "pcm_s16le" or "pcm_f32le"; None for "pcm_s16le". Arrays have their own.
        channels: of bytes, interleaved; None for 1.
        options: how the server decodes.
        silence_s: longest time without an answer of the server.
        clock: returns seconds that only grow.

    Raises:
        InvalidAudio: the encoding is "file".
    """

    def __init__(
        self,
        model: str,
        chunks: Iterator[Chunk] | AsyncIterator[Chunk],
        sampling_rate: int,
        encoding: Encoding | None,
        channels: int | None,
        options: DecodeOptions,
        silence_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if encoding == "file":
            raise InvalidAudio("encoding is 'file'; a live stream needs raw samples: 'pcm_s16le' or 'pcm_f32le'")
        self.silence_s = silence_s if math.isfinite(silence_s) else None
        self._model = model + STREAM_SUFFIX
        self._sequence = new_sequence()
        self._chunks = chunks
        self._rate = sampling_rate
        self._encoding = encoding
        self._channels = channels
        self._options = options
        self._clock = clock
        self._format: dict[str, ParameterValue] | None = None
        self._bytes_per_s = 0
        self._waiting = b""
        self._is_first = True
        self._partial: tuple[str, str] | None = None

    def steps(self, stream: Stream | AsyncStream) -> Steps[None]:
        """Send each piece when it comes, and give the server's results for it."""
        last_s = self._clock()  # when the last piece was sent
        while True:
            chunk = yield Next(self._chunks)
            for piece in self._finish() if chunk is END else self._add(chunk):
                idle_s, last_s = self._clock() - last_s, self._clock()
                stream.send(piece)
                try:
                    said = yield Hear(stream)
                except StreamLost as lost:
                    raise _with_its_cause(lost, idle_s) from lost.__cause__
                for result in self._results(said.tensors):
                    yield Give(result)
            if chunk is END:
                return

    def _add(self, chunk: Chunk) -> Iterator[Piece]:
        """Yield the pieces that are complete with this chunk.

        Raises:
            InvalidAudio: the chunk holds no samples, or its format differs from that of earlier chunks.
        """
        payload = self._payload(chunk)
        if self._format is None:
            self._format = payload.parameters()
            width = 2 if payload.encoding == "pcm_s16le" else 4
            self._bytes_per_s = width * (payload.channels or 1) * self._rate
        elif payload.parameters() != self._format:
            raise InvalidAudio(f"a chunk has the format {payload.parameters()}; the stream needs {self._format}")
        self._waiting += payload.data
        longest = int(LONGEST_PIECE_S * self._bytes_per_s)
        while len(self._waiting) >= SHORTEST_PIECE_S * self._bytes_per_s:
            yield self._piece(self._waiting[:longest], is_last=False)
            self._waiting = self._waiting[longest:]

    def _finish(self) -> Iterator[Piece]:
        """Yield the last piece; nothing for a stream without chunks."""
        if self._format is not None:
            yield self._piece(self._waiting, is_last=True)

    def _piece(self, audio: bytes, is_last: bool) -> Piece:
        is_first, self._is_first = self._is_first, False
        parameters = {**(self._format or {}), **self._options.parameters()}
        return Piece(self._model, self._sequence, audio, parameters, OUTPUTS, is_first, is_last)

    def _payload(self, chunk: Chunk) -> Payload:
        if isinstance(chunk, bytes | bytearray | memoryview):
            encoding: Encoding = self._encoding or "pcm_s16le"
            return Payload(bytes(chunk), encoding, self._rate, self._channels or 1)
        return _audio.load(Audio(chunk, self._rate), 2**31)

    def _results(self, tensors: Mapping[str, Any]) -> Iterator[StreamResult]:
        """Yield the results of an answer: the finished segments, then the partial result if it has changed.

        Raises:
            ServerError: an output is missing or malformed.
        """
        try:
            values = {name: tensors[name].reshape(-1)[0] for name in OUTPUTS}
            seconds = float(values["DURATION"])
            for final in json.loads(values["FINALS"]):
                words = tuple(Word(**word) for word in final["words"])
                yield StreamResult(
                    text=final["text"],
                    is_final=True,
                    stable=final["text"],
                    seconds=seconds,
                    start=final["start"],
                    end=final["end"],
                    confidence=final["confidence"],
                    words=words,
                )
                self._partial = None
            text = values["PARTIAL"].decode()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ServerError(f"model {self._model!r} gave a malformed answer: {error!r}") from error
        partial = (text, text[: int(values["STABLE"])])
        if partial != self._partial and (text or self._partial):
            yield StreamResult(text=text, is_final=False, stable=partial[1], seconds=seconds)
        self._partial = partial


def _with_its_cause(error: StreamLost, idle_s: float) -> StreamLost:
    return StreamLost(
        f"{error}. Nothing was sent for {idle_s:.0f} s: begin a new stream, and send silence while nobody speaks"
    )

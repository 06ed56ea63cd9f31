"""A live stream as a dialogue: it turns chunks of any size into pieces, and answers into results."""

import json
import math
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Union

from asr_contract import parameters as contract
from asr_contract.names import STREAM_SUFFIX
from asr_contract.parameters import StreamOptions
from asr_contract.parameters import Value as ParameterValue
from asr_contract.tensors import START, STREAM_OUTPUTS

from asr_client import _audio
from asr_client._audio import Audio, Encoding, Payload
from asr_client._calls.protocol import Piece, Said, new_sequence
from asr_client._calls.steps import END, Dialogue, Give, Hear, Next, Steps
from asr_client._calls.unfinished import LONGEST_SPEECH_S, QUIET_S, Unfinished
from asr_client._errors import InvalidAudio, OptionRefused, ServerError, StreamLost
from asr_client._options import DecodeOptions
from asr_client._results import StreamResult, Word
from asr_client._transports.base import AsyncStream, Stream

if TYPE_CHECKING:
    import numpy as np

OUTPUTS = tuple(output.name for output in STREAM_OUTPUTS)
# Shorter chunks are sent together, because each piece costs the server some time, however short it is.
SHORTEST_PIECE_S = 0.1
LONGEST_PIECE_S = 5.0
# A stream that is lost although something was sent in this time was not forgotten for its idleness, which takes the
# server ten seconds or more. It would be lost again.
IDLE_S = 5.0


class Flush(Enum):
    """The type of FLUSH, for annotations of chunks."""

    FLUSH = "flush"


FLUSH: Final = Flush.FLUSH
Chunk = Union[bytes, bytearray, memoryview, "np.ndarray[Any, Any]", Flush]
Chunks = Iterable[Chunk]
AnyChunks = Iterable[Chunk] | AsyncIterable[Chunk]


class Live(Dialogue[None]):
    """The dialogue of a live stream. Its steps give `StreamResult`s, and have no answer at the end.

    A stream that the server has forgotten while nothing was sent begins again with the next piece, as a new sequence.
    The server then hears once more what has no final text.

    Args:
        model: the ensemble's name.
        chunks: the samples of the stream, with FLUSH among them.
        sampling_rate: Hz.
        encoding: of bytes, "pcm_s16le" or "pcm_f32le"; None for "pcm_s16le". Arrays have their own.
        channels: of bytes, interleaved; None for 1.
        options: how the server decodes.
        division: how the server divides the stream.
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
        division: StreamOptions,
        silence_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if encoding == "file":
            raise InvalidAudio.for_anybody(
                "encoding is 'file'; a live stream needs raw samples: 'pcm_s16le' or 'pcm_f32le'"
            )
        self.silence_s = silence_s if math.isfinite(silence_s) else None
        self._model = model + STREAM_SUFFIX
        self._sequence = new_sequence()
        self._is_first = True  # the sequence has no piece yet
        self._origin_s = 0.0  # second of the stream at which the sequence began
        self._chunks = chunks
        self._rate = sampling_rate
        self._encoding = encoding
        self._channels = channels
        self._options = {**options.parameters(), **division.parameters()}
        self._clock = clock
        self._sent_s = clock()  # when the last piece was sent
        self._format: dict[str, ParameterValue] | None = None  # of the chunks; known with the first one
        self._unfinished = Unfinished(1, 1)  # of the stream, since its format is known
        self._waiting = b""
        self._seconds = 0.0  # of audio that the server has received
        self._partial: tuple[str, str, bool] | None = None

    def steps(self, stream: Stream | AsyncStream) -> Steps[None]:
        """Send each piece when it comes, and give the server's results for it."""
        while True:
            chunk = yield Next(self._chunks)
            if chunk is FLUSH and not self._has_news():
                yield Give(self._nothing())
                continue
            for piece in self._pieces(chunk):
                yield from self._exchange(stream, piece)
            if chunk is END:
                return

    def _exchange(self, stream: Stream | AsyncStream, piece: Piece) -> Steps[None]:
        """Send a piece, and give its results; begin the sequence again if the server has forgotten it."""
        idle_s = self._clock() - self._sent_s
        self._unfinished.add(piece.audio)
        try:
            results = yield from self._ask(stream, piece)
        except StreamLost as lost:
            if idle_s < IDLE_S:
                raise StreamLost(
                    f"{lost}. Something was sent {idle_s:.0f} s ago, so this stream was not idle: begin a new one"
                ) from lost.__cause__
            results = []
            for again in self._again(piece):
                results += yield from self._ask(stream, again)
            if not results and contract.FLUSH in piece.parameters:
                results = [self._nothing()]  # all was final already
        for result in results:
            yield Give(result)

    def _ask(self, stream: Stream | AsyncStream, piece: Piece) -> Steps[list[StreamResult]]:
        stream.send(piece)
        self._sent_s = self._clock()
        said: Said = yield Hear(stream)
        return self._results(said.tensors, is_flush=contract.FLUSH in piece.parameters)

    def _again(self, piece: Piece) -> Iterator[Piece]:
        """Yield the pieces of a new sequence, in place of one that is lost with this piece; none if all is final."""
        self._origin_s, audio = self._unfinished.rest()
        self._sequence, self._is_first = new_sequence(), True
        longest = int(LONGEST_PIECE_S * self._bytes_per_s)
        for begin in range(0, len(audio), longest):
            is_end = begin + longest >= len(audio)
            yield self._piece(
                audio[begin : begin + longest],
                is_last=is_end and piece.is_last,
                is_flush=is_end and contract.FLUSH in piece.parameters,
            )

    def _has_news(self) -> bool:
        """Return whether there are samples since the last flush."""
        unfinished = self._unfinished
        return unfinished.sent + len(self._waiting) - unfinished.flushed >= unfinished.frame_bytes

    def _nothing(self) -> StreamResult:
        """Return the answer to a flush before which nothing was said."""
        self._unfinished.flush()
        return StreamResult("", is_final=True, stable="", seconds=self._seconds, flushed=True)

    @property
    def _bytes_per_s(self) -> int:
        return self._unfinished.frame_bytes * self._rate

    def _pieces(self, chunk: Any) -> Iterator[Piece]:
        """Yield the pieces that are complete with this chunk, with FLUSH, or with END.

        Raises:
            InvalidAudio: the chunk holds no samples, or its format differs from that of earlier chunks.
        """
        if chunk is not FLUSH and chunk is not END:
            yield from self._add(self._payload(chunk))
        elif self._format is not None:  # a stream without chunks has no pieces
            waiting, self._waiting = self._waiting, b""
            yield self._piece(waiting, is_last=chunk is END, is_flush=chunk is FLUSH)

    def _add(self, payload: Payload) -> Iterator[Piece]:
        if self._format is None:
            self._format = payload.parameters()
            width = 2 if payload.encoding == "pcm_s16le" else 4
            self._unfinished = Unfinished(self._rate, width * (payload.channels or 1))
        elif payload.parameters() != self._format:
            raise InvalidAudio.for_anybody(
                f"a chunk has the format {payload.parameters()}; the stream needs {self._format}"
            )
        self._waiting += payload.data
        longest = int(LONGEST_PIECE_S * self._bytes_per_s)
        while len(self._waiting) >= SHORTEST_PIECE_S * self._bytes_per_s:
            audio, self._waiting = self._waiting[:longest], self._waiting[longest:]
            yield self._piece(audio)

    def _piece(self, audio: bytes, is_last: bool = False, is_flush: bool = False) -> Piece:
        is_first, self._is_first = self._is_first, False
        flush: dict[str, ParameterValue] = {contract.FLUSH: True} if is_flush else {}
        parameters = {**(self._format or {}), **self._options, **flush}
        return Piece(self._model, self._sequence, audio, parameters, OUTPUTS, is_first, is_last)

    def _payload(self, chunk: Any) -> Payload:
        if isinstance(chunk, bytes | bytearray | memoryview):
            encoding: Encoding = self._encoding or "pcm_s16le"
            return Payload(bytes(chunk), encoding, self._rate, self._channels or 1)
        return _audio.load(Audio(chunk, self._rate), 2**31)

    def _results(self, tensors: Mapping[str, Any], is_flush: bool) -> list[StreamResult]:
        """Return the results of an answer: the finished segments, then the partial result if it has changed.

        Raises:
            ServerError: an output is missing or malformed.
            OptionRefused: the server does not know FLUSH.
        """
        try:
            values = {name: tensors[name].reshape(-1)[0] for name in OUTPUTS if name != START}
            self._seconds = self._origin_s + float(values["DURATION"])
            results = [self._final(final) for final in json.loads(values["FINALS"])]
            text = values["PARTIAL"].decode()
            stable = text[: int(values["STABLE"])]
            started = tensors.get(START)
            start_s = -1.0 if started is None else float(started.reshape(-1)[0])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ServerError(f"model {self._model!r} gave a malformed answer: {error!r}") from error
        if is_flush:
            if started is None:
                raise OptionRefused(f"model {self._model!r} is of an earlier export, and does not know FLUSH")
            self._unfinished.flush()
            results = [*results[:-1], replace(results[-1], flushed=True)] if results else [self._nothing()]
        if results:
            self._partial = None
        start = None if start_s < 0 else self._time(start_s)
        partial = (text, stable, start is not None)
        if partial != self._partial and (text or start is not None or self._partial):
            results.append(StreamResult(text, is_final=False, stable=stable, seconds=self._seconds, start=start))
        self._partial = partial
        self._unfinished.keep(LONGEST_SPEECH_S if text or start is not None else QUIET_S)
        return results

    def _final(self, final: Mapping[str, Any]) -> StreamResult:
        """Return the result of a finished segment."""
        end = self._time(final["end"])
        if end is not None:
            self._unfinished.settle(end)
        words = [{**word, **{edge: self._time(word[edge]) for edge in ("start", "end")}} for word in final["words"]]
        return StreamResult(
            text=final["text"],
            is_final=True,
            stable=final["text"],
            seconds=self._seconds,
            start=self._time(final["start"]),
            end=end,
            confidence=final["confidence"],
            words=tuple(Word(**word) for word in words),
        )

    def _time(self, seconds: float | None) -> float | None:
        """Return the second of the stream for one of the sequence, to a millisecond, as the server gives it."""
        return None if seconds is None else round(self._origin_s + seconds, 3)

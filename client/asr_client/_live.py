"""Live streams without any network: samples of any size in, requests out; answers in, results out."""

import json
import secrets
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from asr_contract.parameters import Value as ParameterValue

from asr_client import _audio
from asr_client._audio import Audio, Encoding, Payload
from asr_client._errors import InvalidAudio, ServerError
from asr_client._options import DecodeOptions
from asr_client._results import StreamResult, Word

if TYPE_CHECKING:
    import numpy as np

STREAM_SUFFIX = "_stream"  # of the model beside an ensemble that takes live streams
OUTPUTS = ("PARTIAL", "STABLE", "FINALS", "DURATION")
# Smaller pieces are sent together: each costs the server some time, however little it holds.
SHORTEST_PIECE_S = 0.1
LONGEST_PIECE_S = 5.0
Chunk = Union[bytes, bytearray, memoryview, "np.ndarray[Any, Any]"]
Chunks = Iterable[Chunk]
AnyChunks = Iterable[Chunk] | AsyncIterable[Chunk]


@dataclass(frozen=True)
class Piece:
    """One request of a stream."""

    data: bytes
    is_first: bool
    is_last: bool


class Live:
    """One live stream, as its caller sees it.

    Args:
        model: the ensemble's name.
        sampling_rate: Hz.
        encoding: of bytes, "pcm_s16le" or "pcm_f32le"; None for "pcm_s16le". Arrays tell theirs.
        channels: of bytes, interleaved; None for 1.
        options: how the server is to decode.

    Raises:
        InvalidAudio: a format that no stream has.
    """

    def __init__(
        self,
        model: str,
        sampling_rate: int,
        encoding: Encoding | None,
        channels: int | None,
        options: DecodeOptions,
    ) -> None:
        if encoding == "file":
            raise InvalidAudio("encoding is 'file'; a live stream needs raw samples: 'pcm_s16le' or 'pcm_f32le'")
        self.model = model + STREAM_SUFFIX
        self.sequence = secrets.randbelow(2**63 - 1) + 1  # 0 means none
        self._rate = sampling_rate
        self._encoding = encoding
        self._channels = channels
        self._options = options
        self._format: dict[str, ParameterValue] | None = None
        self._bytes_per_s = 0
        self._waiting = b""
        self._is_first = True
        self._partial: tuple[str, str] | None = None

    @property
    def parameters(self) -> dict[str, ParameterValue]:
        """Of each request."""
        return {**(self._format or {}), **self._options.parameters()}

    def add(self, chunk: Chunk) -> Iterator[Piece]:
        """The pieces to send with a further chunk.

        Raises:
            InvalidAudio: a chunk that holds no samples, or samples of another kind than those before it.
        """
        payload = self._payload(chunk)
        if self._format is None:
            self._format = payload.parameters()
            width = 2 if payload.encoding == "pcm_s16le" else 4
            self._bytes_per_s = width * (payload.channels or 1) * self._rate
        elif payload.parameters() != self._format:
            raise InvalidAudio(f"a chunk of {payload.parameters()} in a stream of {self._format}")
        self._waiting += payload.data
        longest = int(LONGEST_PIECE_S * self._bytes_per_s)
        while len(self._waiting) >= SHORTEST_PIECE_S * self._bytes_per_s:
            yield self._piece(self._waiting[:longest], is_last=False)
            self._waiting = self._waiting[longest:]

    def finish(self) -> Iterator[Piece]:
        """What is left; nothing for a stream that has had no chunk."""
        if self._format is not None:
            yield self._piece(self._waiting, is_last=True)

    def _piece(self, data: bytes, is_last: bool) -> Piece:
        is_first, self._is_first = self._is_first, False
        return Piece(data, is_first, is_last)

    def _payload(self, chunk: Chunk) -> Payload:
        if isinstance(chunk, bytes | bytearray | memoryview):
            encoding: Encoding = self._encoding or "pcm_s16le"
            return Payload(bytes(chunk), encoding, self._rate, self._channels or 1)
        return _audio.load(Audio(chunk, self._rate), 2**31)

    def results(self, tensors: Mapping[str, Any]) -> Iterator[StreamResult]:
        """What an answer says: segments that are over, then what is being said, where that is news.

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
            raise ServerError(f"model {self.model!r} gave a malformed answer: {error!r}") from error
        partial = (text, text[: int(values["STABLE"])])
        if partial != self._partial and (text or self._partial):
            yield StreamResult(text=text, is_final=False, stable=partial[1], seconds=seconds)
        self._partial = partial

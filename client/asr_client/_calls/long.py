"""A recording of any length as a dialogue: it sends one piece after the other, and receives the segments."""

import math
from collections.abc import Callable, Mapping

from asr_contract.names import LONG_SUFFIX
from asr_contract.parameters import Value as ParameterValue

from asr_client._audio import Pieces, Readable, read_chunk
from asr_client._calls.protocol import Piece, Tensors, new_sequence, outputs, transcription
from asr_client._calls.steps import Dialogue, Hear, Read, Steps
from asr_client._options import DecodeOptions
from asr_client._results import Transcription
from asr_client._transports.base import AsyncStream, Stream
from asr_client._uploads import PIECE_BYTES

OnSegment = Callable[[Transcription], object]


class LongRecording(Dialogue[list[Transcription]]):
    """The dialogue of a long recording. Its answer is the segments, in order.

    Args:
        model: the ensemble's name.
        pieces: the recording.
        options: how the server decodes.
        silence_s: longest time without an answer of the server.
        piece_bytes: the largest piece.
        on_segment: called with each segment as soon as it is ready.
    """

    def __init__(
        self,
        model: str,
        pieces: Pieces,
        options: DecodeOptions,
        silence_s: float,
        piece_bytes: int,
        on_segment: OnSegment | None,
    ) -> None:
        self.model = model + LONG_SUFFIX
        self.outputs = outputs(options)
        self.parameters: Mapping[str, ParameterValue] = {**pieces.parameters, **options.parameters()}
        self.silence_s = silence_s if math.isfinite(silence_s) else None
        self._pieces = pieces
        self._piece_bytes = min(PIECE_BYTES, piece_bytes)
        self._on_segment = on_segment

    @property
    def obstacle(self) -> str | None:
        """Return why it cannot be sent again; None if it can be."""
        return self._pieces.obstacle()

    def steps(self, stream: Stream | AsyncStream) -> Steps[list[Transcription]]:
        """Send each piece when the server has taken the one before, and return the segments."""
        self.was_taken = False
        sequence = new_sequence()
        segments: list[Transcription] = []
        with (yield Read(self._pieces.open)) as file:
            audio: bytes = yield self._read(file)
            is_first = True
            while is_first or audio:
                following: bytes = yield self._read(file)
                stream.send(
                    Piece(self.model, sequence, audio, self.parameters, self.outputs, is_first, is_last=not following)
                )
                while not (said := (yield Hear(stream))).is_final:
                    self.was_taken = True
                    segments.append(self._segment(said.tensors, segments[-1].duration if segments else 0.0))
                self.was_taken = True
                audio, is_first = following, False
        return segments

    def _read(self, file: Readable) -> Read:
        return Read(lambda: read_chunk(file, self._piece_bytes))

    def _segment(self, tensors: Tensors, start: float) -> Transcription:
        segment = transcription(self, tensors, start)
        if self._on_segment is not None:
            self._on_segment(segment)
        return segment

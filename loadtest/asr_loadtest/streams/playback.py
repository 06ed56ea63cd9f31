"""The playback of a recording as a live stream: its pieces, when they are due, and the lags of its results.

The speaker does not wait: a piece is due when its last sample has been spoken, whether or not the piece before was
answered. Lags count from the time at which something was spoken. Times are seconds from the start of the speaker.

- **The lag of a partial result** counts from the oldest sample that is new in it. The server hears a stream in windows,
  each of which has a new chunk. So the lag holds the wait for the end of that chunk, and for the moment after it.
- **The lag of a final result** counts from the end of its last word. So it holds the silence that ends a segment.
"""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from asr_client import InvalidAudio, StreamResult, audio_files

from asr_loadtest.errors import InvalidProfile, NotReady
from asr_loadtest.recordings import Recording

PIECE_S = 0.1
# Silence after the recording, beyond the silence that ends a segment: the server ends the segment before the stream
# ends.
_TAIL_S = 0.7
_BYTES = 2  # of a sample
# A piece that is sent this much after it was due had to wait for an answer.
LATE_PIECE_S = 0.05
# Makes up for the server's seconds, which are float32.
_ROUNDING_S = 1e-3


@dataclass(frozen=True)
class Pace:
    """The pace at which the server hears a stream, in seconds."""

    chunk_s: float  # that is new in a window
    after_s: float  # that a window hears after its chunk
    endpoint_s: float  # of silence that ends a segment

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Pace":
        """Return the pace from the parameters in the configuration of `asr_stream`.

        Raises:
            NotReady: the parameters are those of another kind of model.
        """
        try:
            chunk, after, endpoint = (float(parameters[f"{name}_seconds"]) for name in ("chunk", "after", "endpoint"))
        except (KeyError, ValueError):
            raise NotReady(
                f"the model for live streams has the parameters {sorted(parameters)}; needs chunk_seconds, "
                "after_seconds and endpoint_seconds, as `triton-asr export` writes them"
            ) from None
        return cls(chunk, after, endpoint)

    def chunk_begin_s(self, received_s: float) -> float:
        """Return where the last chunk begins that the server hears, once it has received `received_s` seconds."""
        chunks = (received_s - self.after_s + _ROUNDING_S) // self.chunk_s
        return max(0.0, chunks - 1) * self.chunk_s


@dataclass(frozen=True)
class Script:
    """The audio of one stream."""

    pcm: bytes  # 16 bits, interleaved
    sampling_rate: int  # Hz
    channels: int

    @property
    def seconds(self) -> float:
        """Return the length, with the silence at the end."""
        return len(self.pcm) / (_BYTES * self.channels * self.sampling_rate)

    def pieces(self) -> Iterator[tuple[float, bytes]]:
        """Yield (seconds after which the piece has been spoken, piece)."""
        samples = round(PIECE_S * self.sampling_rate)
        size = samples * self.channels * _BYTES
        for index, start in enumerate(range(0, len(self.pcm), size), 1):
            yield index * samples / self.sampling_rate, self.pcm[start : start + size]


def scripts(recordings: Iterable[Recording], pace: Pace) -> list[tuple[Recording, Script]]:
    """Return the recordings with their scripts, without recordings in formats that only the server reads.

    Raises:
        InvalidProfile: no recording is left.
    """
    made, unreadable = [], []
    for recording in recordings:
        try:
            sound = audio_files.read(io.BytesIO(recording.audio), recording.name)
            pcm = b"".join(block.astype("<i2").tobytes() for block in sound.blocks)
        except InvalidAudio:
            unreadable.append(recording.name)
            continue
        tail = bytes(_BYTES * sound.channels * round((pace.endpoint_s + _TAIL_S) * sound.sampling_rate))
        made.append((recording, Script(pcm + tail, sound.sampling_rate, sound.channels)))
    if not made:
        raise InvalidProfile(
            f"no live streams can be made of {', '.join(unreadable)}; needs a format that FFmpeg reads (WAV, FLAC, "
            "OGG, Opus, MP3, M4A …)"
        )
    return made


@dataclass(slots=True)
class Piece:
    """One piece that was sent."""

    due_s: float  # when its last sample had been spoken
    asked_s: float  # when the client asked for it: the piece before had been answered
    sent_s: float
    answered_s: float | None = None

    @property
    def late_s(self) -> float:
        """Return the seconds from when it could be sent until it was sent: the delay of the generator itself."""
        return self.sent_s - max(self.due_s, self.asked_s)


@dataclass(slots=True)
class Lag:
    """The lag of one result."""

    at_s: float  # when the result came
    seconds: float


@dataclass
class Playback:
    """One stream, as it is sent and heard. The speaker begins when this is made.

    Args:
        script: the audio.
        pace: of the server.
        clock: returns seconds that only grow.
    """

    script: Script
    pace: Pace
    clock: Callable[[], float] = time.monotonic
    sent: list[Piece] = field(default_factory=list)
    partials: list[Lag] = field(default_factory=list)
    finals: list[Lag] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # of the final results
    is_whole: bool = False  # all pieces were sent

    def __post_init__(self) -> None:
        self._begin_s = self.clock()

    @property
    def text(self) -> str:
        """Return the text of the final results so far."""
        return " ".join(self.texts)

    def pieces(self, sleep: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
        """Yield each piece when it is due."""
        for due_s, piece in self.script.pieces():
            asked_s = self._ask()
            sleep(max(0.0, due_s - asked_s))
            self.sent.append(Piece(due_s, asked_s, self._now()))
            yield piece
        self._ask()
        self.is_whole = True

    async def async_pieces(self, until_s: float) -> AsyncIterator[bytes]:
        """Yield each piece when it is due, in an event loop, but none that is due after `until_s`."""
        for due_s, piece in self.script.pieces():
            asked_s = self._ask()
            if max(due_s, asked_s) > until_s:
                return
            await asyncio.sleep(max(0.0, due_s - asked_s))
            self.sent.append(Piece(due_s, asked_s, self._now()))
            yield piece
        self._ask()
        self.is_whole = True

    def hear(self, result: StreamResult) -> float:
        """Note a result, and return its lag in seconds."""
        now_s = self._now()
        if result.is_final:
            end_s = result.words[-1].end if result.words else result.end or 0.0
            self.texts.append(result.text)
            lags = self.finals
        else:
            end_s = self.pace.chunk_begin_s(result.seconds)
            lags = self.partials
        lags.append(Lag(now_s, now_s - end_s))
        return now_s - end_s

    def _ask(self) -> float:
        """Return the time, and note it as that of the last answer: the client asks for a piece only after it."""
        now_s = self._now()
        if self.sent:
            self.sent[-1].answered_s = now_s
        return now_s

    def _now(self) -> float:
        return self.clock() - self._begin_s

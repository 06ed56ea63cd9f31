"""Live streams: bytes become the text of the current segment and of those that have ended.

The caller passes the functions that run the models.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soxr
from asr_contract.errors import AudioError, QueueFull, SequenceError
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.audio.container import PCM_DTYPES, PcmFormat
from asr_serving.audio.samples import downmix
from asr_serving.audio.speech import RECOGNITION, Detector, Voices, silenced
from asr_serving.audio.waveform import check_samples
from asr_serving.ctc.heard import Heard
from asr_serving.ctc.hushing import hush
from asr_serving.live.listening import AT_ONCE, Listener, Pace, Segment

MAX_PIECE_S = 10.0
IDLE_S = 60.0  # a stream without a new piece for this long is forgotten
IDLE_WHEN_FULL_S = 10.0  # the same, if another stream needs its place


@dataclass(frozen=True)
class Final:
    """A segment of a stream that has ended."""

    text: str
    start: float  # seconds from the beginning of the stream
    end: float
    confidence: float
    words: list[dict[str, Any]]  # "word", "start", "end" in seconds from the beginning of the stream, "confidence"


@dataclass(frozen=True)
class Update:
    """The state of a stream after a piece."""

    partial: str  # text of the segment that is being said
    stable: int  # characters of it that belong to complete words
    finals: list[Final]  # that this piece completed
    seconds: float  # of audio received


NOTHING = Update("", 0, [], 0.0)


@dataclass(frozen=True)
class Models:
    """The models to call."""

    acoustic: Callable[[NDArray[np.float32]], Awaitable[NDArray[np.float32]]]  # `[samples]` -> `[frames, vocab]`
    decode: Callable[[NDArray[np.float32], Mapping[str, object]], Awaitable[Heard]]


@dataclass
class Stream:
    """One live stream.

    Args:
        pcm: the layout of its samples.
        labels: of the acoustic model.
        pace: of its windows and segments.
        options: request parameters for the decode step.
        detector: decides what is speech; None: the level does.
    """

    pcm: PcmFormat
    labels: Labels
    pace: Pace
    options: Mapping[str, object]
    detector: Detector | None = None
    touched: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        voices = Voices(self.detector, self.labels.sampling_rate, AT_ONCE) if self.detector else None
        self._listener = Listener(self.labels, self.pace, voices)
        self._rest = b""  # bytes of an incomplete frame
        self._dtype = PCM_DTYPES[self.pcm.encoding]
        rate = self.labels.sampling_rate
        self._resampler = (
            None
            if self.pcm.sampling_rate == rate
            else soxr.ResampleStream(self.pcm.sampling_rate, rate, 1, dtype="float32", quality="HQ")
        )

    async def take(self, data: bytes, is_last: bool, models: Models) -> Update:
        """Return the state of the stream after its next piece.

        Args:
            data: raw samples; a piece may end anywhere, even within a sample.
            is_last: whether this is the last piece.
            models: turn windows into log-probs, and log-probs into text.

        Raises:
            AudioError: the piece is too long, or holds NaN or Inf.
        """
        async with self.lock:
            windows = list(self._listener.push(self._samples(data, is_last)))
            if is_last:
                windows += self._listener.finish()
            log_probs = await asyncio.gather(*(models.acoustic(window.samples) for window in windows))
            segments = [self._listener.hear(*pair) for pair in zip(windows, log_probs, strict=True)]
            if is_last:
                segments.append(self._listener.finish_segment())
            finals = await asyncio.gather(*(self._final(segment, models) for segment in segments if segment))
            partial, stable = ("", 0) if is_last else self._listener.text()
            return Update(partial, stable, [final for final in finals if final.text], self._listener.seconds)

    def _samples(self, data: bytes, is_last: bool) -> NDArray[np.float32]:
        """Return the samples as mono float32 at the model's rate."""
        data = self._rest + data
        frame_bytes = self._dtype.itemsize * self.pcm.channels
        whole = len(data) // frame_bytes * frame_bytes
        if whole > MAX_PIECE_S * self.pcm.sampling_rate * frame_bytes:
            seconds = whole / frame_bytes / self.pcm.sampling_rate
            raise AudioError(f"this piece holds {seconds:.1f} s; needs {MAX_PIECE_S:g} s or less")
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], self._dtype).reshape(-1, self.pcm.channels)
        scale = 32768 if self._dtype.kind == "i" else 1
        mono = downmix(samples.astype(np.float32)) / np.float32(scale)
        if len(mono):
            check_samples(mono)
        if self._resampler is None:
            return mono
        resampled: NDArray[np.float32] = self._resampler.resample_chunk(mono, last=is_last)
        return resampled

    async def _final(self, segment: Segment, models: Models) -> Final:
        start = segment.start / self.labels.sampling_rate
        end = start + len(segment.samples) / self.labels.sampling_rate
        if self.detector is None:
            log_probs = await models.acoustic(segment.samples)
        else:
            speech = self.detector.spans(segment.samples, self.labels.sampling_rate, RECOGNITION)
            log_probs = hush(await models.acoustic(silenced(segment.samples, speech)), speech, self.labels)
        heard = (await models.decode(log_probs, self.options)).shifted(start)
        return Final(heard.text, round(start, 3), round(end, 3), heard.confidence, heard.words)


class Streams:
    """The streams under way, by the id of their sequence.

    Args:
        most: how many there may be.
        clock: monotonic, in seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._streams: dict[object, Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def begin(self, key: object, stream: Stream) -> None:
        """Add a new stream; it replaces one with the same id.

        Raises:
            QueueFull: there are as many streams as there may be.
        """
        self._forget(IDLE_S)
        if key not in self._streams and len(self._streams) >= self._most:
            self._forget(IDLE_WHEN_FULL_S)
            if len(self._streams) >= self._most:
                raise QueueFull(
                    f"{self._most} live streams are under way, the most that this server takes (export --max-streams)"
                )
        stream.touched = self._clock()
        self._streams[key] = stream

    def get(self, key: object) -> Stream:
        """Return the stream to which a further piece belongs.

        Raises:
            SequenceError: there is no such stream.
        """
        stream = self._streams.get(key)
        if stream is None:
            raise SequenceError(
                f"this stream was not begun here, or not continued for {IDLE_S:g} s; begin again, with the start of a "
                "sequence"
            )
        stream.touched = self._clock()
        return stream

    def end(self, key: object) -> None:
        """Forget a stream."""
        self._streams.pop(key, None)

    def _forget(self, idle_s: float) -> None:
        now = self._clock()
        for key in [key for key, stream in self._streams.items() if now - stream.touched > idle_s]:
            del self._streams[key]

"""Live streams through a CTC model: the acoustic model hears windows, and each segment once more as a whole.

It hears a segment together with the seconds before it, of which no frame counts.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from asr_contract.labels import Labels
from asr_contract.parameters import StreamOptions
from numpy.typing import NDArray

from asr_serving.audio.container import PcmFormat
from asr_serving.audio.request import wants_vad
from asr_serving.audio.speech import RECOGNITION, Detector, Voices, silenced
from asr_serving.ctc.heard import Heard, silence
from asr_serving.ctc.hushing import hush
from asr_serving.live.listening import AT_ONCE, Listener, Pace, Segment
from asr_serving.live.pieces import PieceReader
from asr_serving.live.service import SETTINGS as SHARED
from asr_serving.live.updates import Final, Update

PACE = ("before", "chunk", "after", "endpoint", "longest", "context")  # seconds; see `Pace`
SETTINGS = SHARED | {"acoustic", "ctc_decode", "min_samples", *(f"{name}_seconds" for name in PACE)}

Acoustic = Callable[[NDArray[np.float32]], Awaitable[NDArray[np.float32]]]  # `[samples]` -> `[frames, vocab]`
Decode = Callable[[NDArray[np.float32], Mapping[str, object]], Awaitable[Heard]]


@dataclass(frozen=True)
class Models:
    """The models to call."""

    acoustic: Acoustic
    decode: Decode


@dataclass
class CtcStream:
    """One live stream.

    Args:
        pcm: the layout of its samples.
        labels: of the acoustic model.
        pace: of its windows and segments.
        options: request parameters for the decode step.
        models: turn windows into log-probs, and log-probs into text.
        detector: decides what is speech; None: the level does.
    """

    pcm: PcmFormat
    labels: Labels
    pace: Pace
    options: Mapping[str, object]
    models: Models
    detector: Detector | None = None
    touched: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._reader = PieceReader(self.pcm, self.labels.sampling_rate)
        self._begin()

    def _begin(self, loudest: float = -float("inf")) -> None:
        """Listen from here on, without what was before; only how loud it was is known."""
        self._origin = self._reader.place
        voices = Voices(self.detector, self.labels.sampling_rate, AT_ONCE) if self.detector else None
        self._listener = Listener(self.labels, self.pace, voices, loudest)

    async def take(self, data: bytes, is_last: bool, is_flush: bool = False) -> Update:
        """Return the state of the stream after its next piece; see `streams.Stream`."""
        async with self.lock:
            is_end = is_last or is_flush
            listener = self._listener
            windows = list(listener.push(self._reader.read(data, is_end)))
            if is_end:
                windows += listener.finish()
            log_probs = await asyncio.gather(*(self.models.acoustic(window.samples) for window in windows))
            segments = [one for pair in zip(windows, log_probs, strict=True) for one in listener.hear(*pair)]
            if is_end and (last := listener.finish_segment()) is not None:
                segments.append(last)
            finals = await asyncio.gather(*(self._final(segment) for segment in segments))
            told = [final for final in finals if final.text]
            if is_end:
                self._begin(listener.loudest)
                return Update("", 0, told, self._seconds(0))
            speech = listener.speech
            return Update(
                *listener.text(),
                told,
                self._seconds(0) + listener.seconds,
                None if speech is None else round(self._seconds(speech), 3),
            )

    def _seconds(self, place: int) -> float:
        """Return the seconds from the beginning of the stream to a place of the listener."""
        return (self._origin + place) / self.labels.sampling_rate

    async def _final(self, segment: Segment) -> Final:
        start, end = self._seconds(segment.start), self._seconds(segment.end)
        if self.detector is None:
            log_probs = await self.models.acoustic(segment.samples)
        else:
            speech = self.detector.spans(segment.samples, self.labels.sampling_rate, RECOGNITION)
            log_probs = hush(await self.models.acoustic(silenced(segment.samples, speech)), speech, self.labels)
        log_probs = log_probs[segment.context // self.labels.stride_samples :]
        heard = (await self.models.decode(log_probs, self.options)).shifted(start)
        return Final(heard.text, round(start, 3), round(end, 3), heard.confidence, heard.words)


class CtcOpener:
    """Begins streams; see `service.Opener`.

    Args:
        settings: of the model's configuration: SETTINGS.
        labels: of the acoustic model.
        acoustic: calls the acoustic model.
        decode: calls the decode step.
    """

    def __init__(self, settings: Mapping[str, str], labels: Labels, acoustic: Acoustic, decode: Decode) -> None:
        self._labels, self._acoustic, self._decode = labels, acoustic, decode
        self._min_samples = int(settings["min_samples"])
        self._pace = Pace(**{name: float(settings[f"{name}_seconds"]) for name in PACE}, each_frame=False)
        self._models = Models(self._log_probs, self._heard)

    async def open(self, pcm: PcmFormat, options: StreamOptions, parameters: Mapping[str, object]) -> CtcStream:
        """Return a new stream; see `service.Opener`."""
        # The decode step checks the options now, not after the first sentence.
        await self._decode(silence(self._labels), parameters)
        detector = self._detector if wants_vad(parameters) else None
        pace = self._pace
        if options.silence_ms is not None:
            pace = replace(pace, endpoint=options.silence_ms / 1000, each_frame=True)
        return CtcStream(pcm, self._labels, pace, parameters, self._models, detector)

    @functools.cached_property
    def _detector(self) -> Detector:
        """Load the detector for the first stream that asks for it."""
        return Detector.load()

    async def _log_probs(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return await self._acoustic(np.pad(samples, (0, max(0, self._min_samples - len(samples)))))

    async def _heard(self, log_probs: NDArray[np.float32], parameters: Mapping[str, object]) -> Heard:
        return await self._decode(log_probs, {**parameters, "word_timestamps": True})

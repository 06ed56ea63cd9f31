"""Transcription of one recording of any length, paragraph by paragraph.

The caller passes the functions that run the models.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

import numpy as np
import soxr
from asr_contract.errors import AudioError, too_long
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.audio.samples import Block
from asr_serving.audio.speech import RECOGNITION, Detector, Voices, silenced
from asr_serving.audio.waveform import Limits, check_length, check_samples
from asr_serving.ctc.heard import Heard, silence
from asr_serving.ctc.hushing import hush
from asr_serving.long.segments import Segment
from asr_serving.long.stitching import Stitcher
from asr_serving.long.windows import Cutter, Window

PARAGRAPH_SECONDS = 120.0


@dataclass(frozen=True)
class Models:
    """The models to call, and how many of their runs may be under way for one recording."""

    acoustic: Callable[[NDArray[np.float32]], NDArray[np.float32]]  # `[samples]` -> log-probs `[frames, vocab]`
    decode: Callable[[NDArray[np.float32]], Heard]
    executor: Executor  # runs `acoustic`
    windows: int


def transcribe(
    pieces: Iterator[Block],
    limits: Limits,
    window_seconds: float,
    labels: Labels,
    models: Models,
    is_given_up: Callable[[], bool] = lambda: False,
    detector: Detector | None = None,
) -> Iterator[Segment]:
    """Yield the segments of a recording in order, as soon as they are ready. Their joined texts are the transcript.

    At most `models.windows + 1` windows and one paragraph are in memory, however long the recording is.

    Args:
        pieces: the samples, as `container.blocks` reads them.
        limits: `max_seconds` is that of a whole recording.
        window_seconds: the longest window.
        labels: of the acoustic model.
        models: turn windows into log-probs, and log-probs into text.
        is_given_up: called before each window; True ends the segments, because nobody waits for them.
        detector: decides what is speech; the acoustic model does not get windows without it. None: all may be speech.

    Raises:
        AudioError: the recording cannot be used; segments before the broken place come first.
    """
    space = "" if labels.delimiter is None and labels.word_start is None else " "
    has_spoken = False
    windows = _windows(resampled(pieces, limits), limits, window_seconds, labels, detector)
    for segment in _all_segments(windows, limits, labels, models, is_given_up):
        if has_spoken and segment.heard.text:
            segment = replace(segment, heard=replace(segment.heard, text=space + segment.heard.text))
        has_spoken = has_spoken or bool(segment.heard.text)
        yield segment


def _all_segments(
    windows: Iterator[Window], limits: Limits, labels: Labels, models: Models, is_given_up: Callable[[], bool]
) -> Iterator[Segment]:
    stitcher = Stitcher(labels, PARAGRAPH_SECONDS)
    under_way: deque[tuple[Window, Future[NDArray[np.float32]]]] = deque()
    try:
        for window in windows:
            if is_given_up():
                return
            under_way.append((window, models.executor.submit(_log_probs, window, limits, labels, models)))
            while len(under_way) >= models.windows or (under_way and under_way[0][1].done()):
                yield from _segments(stitcher, *under_way.popleft(), labels, models)
        while under_way and not is_given_up():
            yield from _segments(stitcher, *under_way.popleft(), labels, models)
    finally:
        for _, future in under_way:
            future.cancel()


def _log_probs(window: Window, limits: Limits, labels: Labels, models: Models) -> NDArray[np.float32]:
    """Return the log-probs of a window, with silence where nobody speaks."""
    samples = window.samples if window.speech is None else silenced(window.samples, window.speech)
    padded = np.pad(samples, (0, max(0, limits.min_samples - len(samples))))
    if window.speech is None:
        return models.acoustic(padded)
    if not window.speech:
        return silence(labels, max(1, len(padded) // labels.stride_samples))
    return hush(models.acoustic(padded), window.speech, labels)


def _segments(
    stitcher: Stitcher, window: Window, future: "Future[NDArray[np.float32]]", labels: Labels, models: Models
) -> Iterator[Segment]:
    for paragraph in stitcher.add(window, future.result()):
        heard = models.decode(paragraph.log_probs)
        start = paragraph.first_frame * labels.stride_samples / labels.sampling_rate
        yield Segment(heard.shifted(start), paragraph.end / labels.sampling_rate)


def _windows(
    pieces: Iterator[NDArray[np.float32]],
    limits: Limits,
    window_seconds: float,
    labels: Labels,
    detector: Detector | None,
) -> Iterator[Window]:
    voices = None if detector is None else Voices(detector, limits.sampling_rate, RECOGNITION)
    cutter, samples = Cutter(limits.sampling_rate, labels.stride_samples, window_seconds, voices), 0
    for piece in pieces:
        samples += len(piece)
        yield from cutter.push(piece)
    check_length(samples, samples / limits.sampling_rate, limits)
    yield from cutter.finish()


def resampled(pieces: Iterator[Block], limits: Limits) -> Iterator[NDArray[np.float32]]:
    """Yield the samples at the model's sampling rate."""
    stream, samples = None, 0
    for piece, rate in pieces:
        if not len(piece):
            continue
        check_samples(piece)
        samples += len(piece)
        if samples > limits.max_seconds * rate:
            raise too_long(f"more than {limits.max_seconds:g} s", limits.max_seconds)
        if rate != limits.sampling_rate and stream is None:
            stream = soxr.ResampleStream(rate, limits.sampling_rate, 1, dtype="float32", quality="HQ")
        yield piece if stream is None else stream.resample_chunk(piece)
    if stream is not None:
        yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
    if not samples:
        raise AudioError("audio holds 0 samples")

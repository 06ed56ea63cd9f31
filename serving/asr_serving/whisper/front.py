"""The recordings that callers wait for: each goes window by window through the model that runs the graphs.

The caller passes the functions that run the models.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from asr_contract import tensors
from asr_contract.errors import Cancelled, QueueFull, Stopping

from asr_serving.audio.speech import Span
from asr_serving.whisper.codec import Codec
from asr_serving.whisper.options import Options
from asr_serving.whisper.parts import group
from asr_serving.whisper.recording import Recording, Transcript, join
from asr_serving.whisper.tasks import Prepared, Task, Written

# Of one recording: while one part is written, two cores encode others. Each part has its turn in the queue of windows,
# so others wait for so many of them.
_PARTS_AT_ONCE = 3

SETTINGS = {
    "preprocess",  # the models that it calls
    "whisper_generate",
    "recordings",  # under way at the same time
    "max_queue",  # recordings that may wait
}


@dataclass(frozen=True)
class Models:
    """The models to call; both raise a ServiceError for a request that gets no answer."""

    prepare: Callable[[bytes, Mapping[str, object]], Prepared]  # AUDIO and the parameters of a request
    write: Callable[[Task], Written]


@dataclass(frozen=True, eq=False)
class Call:
    """A request, and whether anybody waits for its answer."""

    audio: bytes
    parameters: Mapping[str, object]
    timeout_s: float  # 0: none
    is_cancelled: Callable[[], bool]


class Recordings:
    """The recordings under way, each in a thread.

    Args:
        settings: of the model's configuration: SETTINGS.
        codec: of the checkpoint.
        models: to call.
    """

    def __init__(self, settings: Mapping[str, str], codec: Codec, models: Models) -> None:
        recordings = int(settings["recordings"])
        self._most = recordings + int(settings["max_queue"])
        self._codec, self._models = codec, models
        self._executor = ThreadPoolExecutor(recordings, thread_name_prefix="recording")
        self._under_way: set[Call] = set()

    def start(self, call: Call, finish: Callable[[dict[str, str | float] | Exception], None]) -> None:
        """Transcribe a recording in a thread, as soon as one is free; then call `finish` with outputs or an error.

        Raises:
            QueueFull: too many recordings wait.
        """
        if len(self._under_way) >= self._most:
            raise QueueFull("the server has more requests than it can handle")
        deadline = time.monotonic() + call.timeout_s if call.timeout_s else float("inf")
        self._under_way.add(call)
        begun = self._executor.submit(self._answer, call, deadline, finish)
        begun.add_done_callback(lambda done: finish(Stopping("the server is stopping")) if done.cancelled() else None)

    def close(self) -> None:
        """Give up the recordings that wait, and finish the others."""
        self._executor.shutdown(cancel_futures=True)

    def _answer(
        self, call: Call, deadline: float, finish: Callable[[dict[str, str | float] | Exception], None]
    ) -> None:
        answer: dict[str, str | float] | Exception
        try:
            answer = self._transcribe(call, deadline)
        except Exception as error:  # noqa: BLE001 - the thread would lose it, and the caller would wait for ever
            answer = error
        self._under_way.discard(call)
        finish(answer)

    def _transcribe(self, call: Call, deadline: float) -> dict[str, str | float]:
        _require_wanted(call, deadline)  # it may have waited for its turn
        options = self._codec.options(call.parameters)
        prepared = self._models.prepare(call.audio, call.parameters)
        if options.vad:
            transcript = self._speech(call, prepared, options, deadline)
        else:
            transcript = self._written(call, self._codec.recording(prepared.samples, options, deadline))
        answer = self._codec.answer(transcript, options, prepared.seconds)
        return {**answer.outputs(), tensors.DURATION: prepared.seconds}

    def _speech(self, call: Call, prepared: Prepared, options: Options, deadline: float) -> Transcript:
        """Return the transcript of the parts with speech."""
        settings = self._codec.settings
        rate = settings.sampling_rate
        spans = [span for span in prepared.speech if span[1] > span[0]]
        parts = group(spans, rate, settings.window_samples / rate)

        def written(options: Options, part: Span) -> Transcript:
            start, end = part
            recording = self._codec.recording(prepared.samples[start:end], options, deadline, whole_windows=False)
            return self._written(call, recording).shifted(start / rate)

        transcripts: list[Transcript] = []
        if options.language is None and parts:  # the first part tells that of the whole recording
            transcripts.append(written(options, parts.pop(0)))
            options = replace(options, language=transcripts[0].language)
        transcripts += _side_by_side(partial(written, options), parts)
        return join(transcripts, options.language)

    def _written(self, call: Call, recording: Recording) -> Transcript:
        while not recording.is_done:
            _require_wanted(call, recording.deadline)
            recording.take(self._models.write(recording.task()))
        return recording.transcript()


def _side_by_side(written: Callable[[Span], Transcript], parts: list[Span]) -> list[Transcript]:
    """Return the transcripts of parts, of which some are written at the same time: none depends on another."""
    executor = ThreadPoolExecutor(_PARTS_AT_ONCE, "part")
    try:
        return list(executor.map(written, parts))
    finally:
        executor.shutdown(cancel_futures=True)  # after an error nobody wants the others


def _require_wanted(call: Call, deadline: float) -> None:
    if call.is_cancelled():
        raise Cancelled("the caller has gone")
    if time.monotonic() > deadline:
        raise Cancelled("the caller's time was over before the answer was there")

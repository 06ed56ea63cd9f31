"""Long recordings through a Whisper: parts of speech, each a window that knows the text before it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from asr_contract import parameters as contract
from numpy.typing import NDArray

from asr_serving.audio.container import blocks
from asr_serving.audio.request import pcm_format, selection
from asr_serving.audio.speech import Detector
from asr_serving.audio.waveform import Limits, check_length
from asr_serving.ctc.heard import Heard
from asr_serving.long.segments import NOTHING_OF_WHISPER, Segment
from asr_serving.long.service import SETTINGS as SHARED
from asr_serving.long.transcription import resampled
from asr_serving.whisper.codec import Codec
from asr_serving.whisper.measures import compression_ratio
from asr_serving.whisper.options import Options
from asr_serving.whisper.parts import Part, PartCutter
from asr_serving.whisper.tasks import Task, Written

SETTINGS = SHARED | {
    "whisper_generate",  # the model that it calls
    "max_seconds",  # of a recording
}
# Text that repeats itself makes the next text do so, too. The limit is openai-whisper's.
_MAX_COMPRESSION = 2.4

Write = Callable[[Task], Written]


class WhisperTranscriber:
    """See `service.Transcriber`.

    Args:
        settings: of the model's configuration: SETTINGS.
        codec: of the checkpoint.
        write: calls the model that runs the graphs.
        detector: finds speech.
    """

    def __init__(self, settings: Mapping[str, str], codec: Codec, write: Write, detector: Detector) -> None:
        self._codec, self._write, self._detector = codec, write, detector
        self._rate = codec.settings.sampling_rate
        self._limits = Limits(self._rate, 1, float(settings["max_seconds"]))

    def segments(
        self, file: BinaryIO, parameters: Mapping[str, object], is_given_up: Callable[[], bool]
    ) -> Iterator[Segment]:
        """Yield a segment for each part of speech, and an empty one for what is after the last; see `Transcriber`."""
        pcm, heard = pcm_format(parameters), selection(parameters)
        contract.refuse_whole_only(parameters, "long recordings")
        options = self._codec.options(parameters)
        context = Context(options.prompt[1:], self._codec.settings.max_prompt_tokens)
        has_spoken, done = False, 0
        cutter = PartCutter(self._detector, self._rate, self._codec.settings.window_samples / self._rate)
        for part in self._parts(cutter, resampled(blocks(file, pcm, heard), self._limits)):
            if is_given_up():
                return
            asked = replace(options, prompt=context.prompt(self._codec.settings.previous))
            segment, tokens = self._segment(part, asked, is_given_up)
            context.add(tokens, self._codec.decode(tokens))
            options = replace(options, language=segment.language)  # that of the first part
            if not has_spoken:
                segment = replace(segment, heard=replace(segment.heard, text=segment.heard.text.lstrip(" ")))
            has_spoken, done = has_spoken or bool(segment.heard.text), part.end
            yield segment
        if done < cutter.received and not is_given_up():
            yield replace(
                NOTHING_OF_WHISPER, seconds_done=cutter.received / self._rate, language=options.language or ""
            )

    def close(self) -> None:
        """Nothing is shared by recordings."""

    def _parts(self, cutter: PartCutter, pieces: Iterator[NDArray[np.float32]]) -> Iterator[Part]:
        for piece in pieces:
            yield from cutter.push(piece)
        check_length(cutter.received, cutter.received / self._rate, self._limits)
        yield from cutter.finish()

    def _segment(self, part: Part, options: Options, is_given_up: Callable[[], bool]) -> tuple[Segment, list[int]]:
        """Return the segment of a part, and its tokens."""
        recording = self._codec.recording(part.samples, options, whole_windows=False)
        while not recording.is_done and not is_given_up():
            recording.take(self._write(recording.task()))
        transcript = recording.transcript().shifted(part.start / self._rate)
        answer = self._codec.answer(transcript, options)
        # With the space that its first token has: the texts of all segments joined are the transcript.
        text = self._codec.decode(transcript.tokens).rstrip(" ")
        heard = Heard(text, answer.confidence, answer.words)
        return Segment(heard, part.end / self._rate, answer.language, answer.segments), transcript.tokens


class Context:
    """The text before a part, as the prompt for it.

    Args:
        tokens: of the text before the recording.
        most: tokens of a prompt.
    """

    def __init__(self, tokens: tuple[int, ...], most: int) -> None:
        self._tokens, self._most = list(tokens), most

    def add(self, tokens: list[int], text: str) -> None:
        """Add a part's tokens, timestamps among them; forget all text if this one repeats itself."""
        if compression_ratio(text) > _MAX_COMPRESSION:
            self._tokens = []
            return
        self._tokens = [*self._tokens, *tokens][-self._most :]

    def prompt(self, previous: int) -> tuple[int, ...]:
        """Return the tokens of the prompt, <|startofprev|> first; none if there is no text."""
        return (previous, *self._tokens) if self._tokens else ()

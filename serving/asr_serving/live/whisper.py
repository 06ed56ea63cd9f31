"""Live streams through a Whisper: the speech so far is transcribed again and again, and what two agree on is stable.

A voice detector divides the stream into segments. While somebody speaks, the model hears the segment from its beginning
each time, and begins with the words that are stable already. A word becomes stable when two transcripts in a row have
it and all words before it: "local agreement" (Liu et al., Interspeech 2020; Macháček et al. 2023, whisper_streaming).
When silence ends a segment, the model hears it once more as a whole, and that text is final.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from asr_contract.parameters import StreamOptions

from asr_serving.audio.container import PcmFormat
from asr_serving.audio.speech import RECOGNITION, Detector, Rules
from asr_serving.live.pieces import PieceReader
from asr_serving.live.service import SETTINGS as SHARED
from asr_serving.live.updates import Final, Update
from asr_serving.whisper.codec import Codec
from asr_serving.whisper.options import TRANSLATE, Options
from asr_serving.whisper.parts import Part, PartCutter
from asr_serving.whisper.tasks import Task, Written
from asr_serving.whisper.words import divide

PACE = ("interval", "endpoint", "longest")  # seconds: between two transcripts; of silence that ends a segment; of one
SETTINGS = SHARED | {"whisper_generate", *(f"{name}_seconds" for name in PACE)}
# Segments that may wait for their final text. A caller who sends a file faster than it is transcribed waits then.
_MOST_WAITING = 2

Write = Callable[[Task], Awaitable[Written]]


class WhisperOpener:
    """Begins streams; see `service.Opener`.

    Args:
        settings: of the model's configuration: SETTINGS.
        codec: of the checkpoint.
        write: calls the model that runs the graphs.
        detector: finds speech.
    """

    def __init__(self, settings: Mapping[str, str], codec: Codec, write: Write, detector: Detector) -> None:
        self._codec, self._write, self._detector = codec, write, detector
        self._pace = {name: float(settings[f"{name}_seconds"]) for name in PACE}

    async def open(self, pcm: PcmFormat, options: StreamOptions, parameters: Mapping[str, object]) -> "WhisperStream":
        """Return a new stream; see `service.Opener`."""
        rate = self._codec.settings.sampling_rate
        rules = segment_rules(1000 * self._pace["endpoint"] if options.silence_ms is None else options.silence_ms)
        longest_s = min(self._pace["longest"], self._codec.settings.window_samples / rate)

        def new_cutter() -> PartCutter:
            return PartCutter(self._detector, rate, longest_s, 0.0, rules)

        transcriber = Transcriber(self._codec, self._write, self._codec.options(parameters))
        return WhisperStream(PieceReader(pcm, rate), new_cutter, transcriber, rate, self._pace["interval"])


def segment_rules(silence_ms: float) -> Rules:
    """Return the detector's rules for segments that end with so much silence.

    Two segments with paddings that fill the silence between them would be one.
    """
    return replace(RECOGNITION, min_silence_ms=silence_ms, pad_ms=min(RECOGNITION.pad_ms, silence_ms / 2))


class Transcriber:
    """Transcribes the segments of one stream.

    Args:
        codec: of the checkpoint.
        write: calls the model that runs the graphs.
        options: of the stream.
    """

    def __init__(self, codec: Codec, write: Write, options: Options) -> None:
        self._codec, self._write = codec, write
        self._options = replace(options, timestamps=False, word_timestamps=False)

    async def partial(self, part: Part, prefix: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the words, each as its tokens, that follow the tokens of `prefix` in a part."""
        recording = self._codec.recording(part.samples, replace(self._options, prefix=prefix), whole_windows=False)
        written = await self._write(recording.task())
        tokens = [token for token in written.tokens if token < self._codec.settings.end]
        language = "en" if self._options.task == TRANSLATE else written.language
        return [tuple(tokens[word.first : word.end]) for word in divide(tokens, self._codec.decode, language)]

    async def final(self, part: Part) -> Final:
        """Return the final text of a part."""
        rate = self._codec.settings.sampling_rate
        options = replace(self._options, word_timestamps=self._codec.settings.word_times)
        recording = self._codec.recording(part.samples, options, whole_windows=False)
        while not recording.is_done:
            recording.take(await self._write(recording.task()))
        start, end = part.start / rate, part.end / rate
        answer = self._codec.answer(recording.transcript().shifted(start), options)
        return Final(answer.text, round(start, 3), round(end, 3), answer.confidence, answer.words)

    def text(self, tokens: tuple[int, ...]) -> str:
        """Return the text of tokens, without a space before it."""
        return self._codec.decode(list(tokens)).lstrip(" ")


class WhisperStream:
    """One live stream; see `streams.Stream`. Its memory is bounded by a few segments.

    Args:
        reader: of its pieces.
        new_cutter: makes what divides it into segments; after a flush, a new one begins.
        transcriber: of its segments.
        rate: of the model, in Hz.
        interval_s: seconds of new audio between two transcripts of a segment.
    """

    def __init__(
        self,
        reader: PieceReader,
        new_cutter: Callable[[], PartCutter],
        transcriber: Transcriber,
        rate: int,
        interval_s: float,
    ) -> None:
        self.touched = 0.0
        self._reader, self._new_cutter, self._transcriber = reader, new_cutter, transcriber
        self._rate, self._interval = rate, round(interval_s * rate)
        self._lock = asyncio.Lock()  # pieces in their order
        self._ended: deque[Part] = deque()  # segments whose final text is not known
        self._finals: list[Final] = []  # that no answer has told yet
        self._stable: tuple[int, ...] = ()  # tokens of the words that two transcripts agree on
        self._guess: list[tuple[int, ...]] = []  # the words after them, by the last transcript
        self._work: asyncio.Task[None] | None = None
        self._begin()

    def _begin(self) -> None:
        """Cut from here on, without what was before."""
        self._cutter, self._origin = self._new_cutter(), self._reader.place  # the cutter's first sample in the stream
        self._heard_until = 0  # sample of the cutter up to which the last transcript heard

    async def take(self, data: bytes, is_last: bool, is_flush: bool = False) -> Update:
        """Return the state of the stream after its next piece; see `streams.Stream`."""
        async with self._lock:
            is_end = is_last or is_flush
            self._end(self._cutter.push(self._reader.read(data, is_end)))
            if is_end:
                self._end(self._cutter.finish())
            if self._work is not None and self._work.done():
                await self._finish_work()
            self._begin_work()
            while self._work is not None and (is_end or len(self._ended) > _MOST_WAITING):
                await self._finish_work()
                self._begin_work()
            if is_end:
                self._begin()
            start = self._start()
            if start is None and self._work is None:
                self._stable, self._guess = (), []  # of speech that was too short to be a segment
            finals, self._finals = self._finals, []
            stable, guess = self._transcriber.text(self._stable), self._transcriber.text(self._all())
            seconds = (self._origin + self._cutter.received) / self._rate
            return Update(guess, len(stable), [final for final in finals if final.text], seconds, start)

    def _end(self, parts: Iterable[Part]) -> None:
        """Keep segments of the cutter that have ended."""
        self._ended += [replace(part, start=self._origin + part.start) for part in parts]

    def _start(self) -> float | None:
        """Return the second at which the segment began that the partial text is of; None if there is none."""
        place = self._cutter.began()
        if self._ended:
            place = self._ended[0].start
        elif place is not None:
            place += self._origin
        return None if place is None else round(place / self._rate, 3)

    async def _finish_work(self) -> None:
        assert self._work is not None
        work, self._work = self._work, None
        await work

    def _begin_work(self) -> None:
        """Begin to transcribe what is due: segments that have ended, or the one that is being said."""
        if self._work is not None:
            return
        if self._ended:
            self._work = asyncio.create_task(self._make_final())
            return
        part = self._cutter.speaking() if self._cutter.began() is not None else None
        if part is not None and part.end - max(part.start, self._heard_until) >= self._interval:
            self._work = asyncio.create_task(self._make_partial(part))

    async def _make_final(self) -> None:
        final = await self._transcriber.final(self._ended[0])
        self._ended.popleft()
        self._finals.append(final)
        self._stable, self._guess = (), []

    async def _make_partial(self, part: Part) -> None:
        self._heard_until = part.end
        words = await self._transcriber.partial(part, self._stable)
        agreed = 0
        while agreed < min(len(words), len(self._guess)) and words[agreed] == self._guess[agreed]:
            agreed += 1
        self._stable += tuple(token for word in words[:agreed] for token in word)
        self._guess = words[agreed:]

    def _all(self) -> tuple[int, ...]:
        return self._stable + tuple(token for word in self._guess for token in word)

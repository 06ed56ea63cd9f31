"""Channels of a recording, each of which is a speaker, as one transcript.

What a channel says is divided at pauses (`_division`), or as a Whisper divides it. The segments of all channels are put
into the order of their start, and none is cut: a "yes" within a long sentence of somebody else comes after the
sentence. Segments of one speaker that follow each other are a turn, and the text has a line for each turn.

A channel that says the same words at the same times as another one is no speaker: many recordings have two channels,
and the same in both. Its segments are left out.
"""

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from asr_client import _columns, _wording
from asr_client._results import Segment, Transcription, Word, segments_of

_Said = tuple[float, float, str]  # start, end and text of a segment


@dataclass(frozen=True, order=True)
class _Unit:
    """A segment with its words, and its place among those of all channels."""

    begin: float  # seconds
    channel: int
    number: int  # among those of its channel
    segment: Segment = field(compare=False)
    words: tuple[Word, ...] = field(compare=False)


class Turns:
    """Merges the channels of a recording, whose parts come in any order.

    A segment is told as soon as no channel can say anything before it. What is told, and in which order, does not
    depend on the order in which the parts of different channels come.

    Args:
        channels: how many there are.
    """

    def __init__(self, channels: int) -> None:
        self._done = [0.0] * channels  # seconds of each; infinite after its end
        self._length = 0.0  # seconds that are known
        self._taken = [0] * channels  # units of each
        self._place = [0.0] * channels  # seconds: where the last unit of each is put
        self._waiting: list[_Unit] = []
        self._told: set[_Said] = set()
        self._speaker: str | None = None  # of the last segment that was told
        self._end = ""  # its text

    def add(self, channel: int, part: Transcription) -> Transcription | None:
        """Take the next part of a channel; return what is now certain to come next, None if that is nothing.

        Args:
            channel: from 0.
            part: its `duration` is the seconds of the channel that are done. One that is not later than the part before
                has no effect: the channel is heard again, because a server has ended.
        """
        if part.duration <= self._done[channel]:
            return None
        # Times may go back: a little between parts, and anywhere in a bad transcript. No speaker's own order changes:
        # what came first may have been told.
        place = max(self._place[channel], self._done[channel])
        for segment, words in _with_words(part, str(channel)):
            place = max(segment.start, place)
            heapq.heappush(self._waiting, _Unit(place, channel, self._taken[channel], segment, words))
            self._taken[channel] += 1
        self._place[channel] = place
        self._done[channel], self._length = part.duration, max(self._length, part.duration)
        return self._tell()

    def end(self, channel: int) -> Transcription | None:
        """Note that a channel has no more parts; return what `add` returns."""
        self._done[channel] = math.inf
        return self._tell()

    def _tell(self) -> Transcription | None:
        until = min(self._done)
        units = list(self._new(until))
        if not units:
            return None
        segments = tuple(unit.segment for unit in units)
        return Transcription(
            text="".join(map(self._text, segments)),
            confidence=_mean_confidence(segments),
            duration=min(until, self._length),
            words=tuple(word for unit in units for word in unit.words),
            segments=segments,
        )

    def _new(self, until: float) -> Iterator[_Unit]:
        """Take the units that begin before a time from those that wait, without those that another channel says."""
        while self._waiting and self._waiting[0].begin < until:
            unit = heapq.heappop(self._waiting)
            said = (unit.segment.start, unit.segment.end, unit.segment.text)
            if said not in self._told:
                self._told.add(said)
                yield unit

    def _text(self, segment: Segment) -> str:
        """Return the text of a segment, with what is between it and the one before."""
        if self._speaker is None:
            space = ""
        elif self._speaker != segment.speaker:
            space = "\n"
        else:
            space = "" if _columns.are_written_together(self._end, segment.text) else " "
        self._speaker, self._end = segment.speaker, segment.text
        return space + segment.text


def merged(channels: Sequence[Sequence[Transcription]]) -> Transcription:
    """Return the transcript of a recording from the parts of each channel, in their order."""
    turns = Turns(len(channels))
    told = [turns.add(channel, part) for channel, parts in enumerate(channels) for part in parts]
    told += [turns.end(channel) for channel in range(len(channels))]
    found = [part for part in told if part is not None]
    segments = tuple(segment for part in found for segment in part.segments)
    everything = [part for parts in channels for part in parts]
    return Transcription(
        text="".join(part.text for part in found),
        confidence=_mean_confidence(segments) if segments else _mean(part.confidence for part in everything),
        duration=max(part.duration for part in everything),
        words=tuple(word for part in found for word in part.words),
        language=next((part.language for part in everything if part.language), None),
        segments=segments,
    )


def by_speaker(transcription: Transcription) -> Iterator[tuple[str | None, Transcription]]:
    """Yield each speaker, in the order in which they begin, and what this one says."""
    for speaker in dict.fromkeys(segment.speaker for segment in transcription.segments):
        segments = tuple(segment for segment in transcription.segments if segment.speaker == speaker)
        words = tuple(word for word in transcription.words if word.speaker == speaker)
        text = _wording.joined([segment.text for segment in segments])
        yield speaker, replace(transcription, text=text, words=words, segments=segments)


def turns_of(transcription: Transcription) -> Iterator[tuple[str | None, str]]:
    """Yield the speaker and the text of each turn."""
    speaker: str | None = None
    said: list[str] = []
    for segment in transcription.segments:
        if said and segment.speaker != speaker:
            yield speaker, _wording.joined(said)
            said = []
        speaker = segment.speaker
        said.append(segment.text)
    if said:
        yield speaker, _wording.joined(said)


def divided(part: Transcription) -> Transcription:
    """Return a part whose segments are what is between pauses of its words, whatever the model takes for segments."""
    if not part.words:
        return part
    begin = part.segments[0].start if part.segments else 0.0
    return replace(part, segments=segments_of(part.text, part.confidence, part.words, begin, part.duration))


def _with_words(part: Transcription, speaker: str) -> Iterator[tuple[Segment, tuple[Word, ...]]]:
    """Yield the segments with text of one channel's part, each with its words."""
    segments = [replace(segment, speaker=speaker) for segment in part.segments if segment.text.strip()]
    starts = [segment.start for segment in segments]
    words: list[list[Word]] = [[] for _ in segments]
    for word in part.words if segments else ():
        words[max(0, bisect_right(starts, word.start) - 1)].append(replace(word, speaker=speaker))
    for segment, its_words in zip(segments, words, strict=True):
        yield segment, tuple(its_words)


def _mean_confidence(segments: Sequence[Segment]) -> float:
    """Return the mean over the letters of segments with text."""
    letters = sum(len(segment.text) for segment in segments)
    return sum(segment.confidence * len(segment.text) for segment in segments) / letters


def _mean(values: Iterable[float]) -> float:
    """Return the mean of at least one number."""
    numbers = tuple(values)
    return sum(numbers) / len(numbers)

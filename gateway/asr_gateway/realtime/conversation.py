"""The items of a session: what somebody has said, found by a server or marked by the caller's commits.

A commit is a mark in the audio, and is answered when the results up to the mark are known. So it gets exactly one
answer, whatever a server has found in the meantime. Where the server finds turns, each is an item, and a commit makes
one of the rest; otherwise the item of a commit has all that came since the one before.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from asr_client import StreamResult

from asr_gateway.errors import ApiError
from asr_gateway.realtime import wire
from asr_gateway.realtime.captions import Captions
from asr_gateway.realtime.wire import Event

_LEAST_S = 0.001  # of audio: a server rounds the end of a segment to that


@dataclass
class _Item:
    """Something that was said, or what a caller commits."""

    id: str
    start_s: float  # of the session
    end_s: float = 0.0  # likewise; known when the item is committed
    captions: Captions = field(default_factory=Captions)
    is_known: bool = False  # the caller has heard of it
    is_over: bool = False  # the caller hears of it no more
    failure: ApiError | None = None  # why it gets no text

    @property
    def seconds(self) -> float:
        """Return the length of its audio."""
        return max(0.0, self.end_s - self.start_s)


@dataclass(frozen=True)
class _Mark:
    """The place of a commit, or of a `clear`, in the audio."""

    end_s: float  # of the session
    item: _Item | None  # to which all results before it belong; None: those after the last turn do
    then: list[Event] = field(default_factory=list)  # events that may only come after the answer


class Conversation:
    """The items of one session. Its methods yield events, without their ids.

    Args:
        new_id: returns the id of another item.
        admit: called for each item; raises an ApiError if its caller has had too many.

    Attributes:
        received_s: seconds of audio that have come.
        is_beta: whether the caller speaks as in beta.
    """

    def __init__(self, new_id: Callable[[], str], admit: Callable[[], None]) -> None:
        self.received_s = 0.0
        self.is_beta = False
        self._new_id = new_id
        self._admit = admit
        self._boundary_s = 0.0  # up to where all is an item, or will be one
        self._done_s = 0.0  # up to where all is an item
        self._marks: deque[_Mark] = deque()  # before which there are more results to come
        self._item: _Item | None = None  # that is being said
        self._previous_id: str | None = None
        self._hears_turns = False  # the server that hears now finds turns
        self._is_early = False  # text is told before it is final
        self._origin_s = 0.0  # second of the session at which it began

    @property
    def news_s(self) -> float:
        """Return the seconds of audio that have come since the last item."""
        news_s = self.received_s - self._boundary_s
        return news_s if news_s > _LEAST_S else 0.0

    # What the caller does.

    def commit(self, has_turns: bool) -> Iterator[Event]:
        """Put a mark behind all audio that has come.

        Args:
            has_turns: whether the server finds turns in this audio.

        Raises:
            ApiError: the caller has had too many items.
        """
        if has_turns:
            self._mark(None)
            return
        item = self._current()
        if not item.is_known:
            self._admit()
        self._mark(item)
        yield from self._commit(item)
        yield from self._tell(item)

    def clear(self) -> None:
        """Put a mark behind all audio that has come, and forget what is before it and no item."""
        item = self._current()
        item.is_over = True
        self._mark(item)

    def after_commits(self, event: Event) -> Iterator[Event]:
        """Yield the event now, or when the caller has heard of each item that it has committed.

        Callers end when theirs is cleared and no committed item waits for its text:
        https://github.com/openai/openai-agents-python/blob/main/src/agents/voice/models/openai_stt.py
        """
        unknown = [mark for mark in self._marks if mark.item is None]
        if unknown:
            unknown[-1].then.append(event)
        else:
            yield event

    # What the server does that hears.

    def begin(self, origin_s: float, hears_turns: bool, is_early: bool) -> None:
        """Take another server.

        Args:
            origin_s: seconds of audio before the first that it hears.
            hears_turns: whether its segments are items.
            is_early: whether text is told before it is final.
        """
        self._origin_s, self._hears_turns, self._is_early = origin_s, hears_turns, is_early

    def hear(self, result: StreamResult) -> Iterator[Event]:
        """Take a result."""
        if self._marks and (item := self._marks[0].item) is not None:
            yield from self._hear_committed(item, result)
        elif self._hears_turns:
            yield from self._hear_turn(result)
        elif result.is_final and result.text:
            self._current().captions.final(result.text)

    def end(self, heard_s: float) -> Iterator[Event]:
        """Take the end of all results for so many seconds of the session."""
        if self._hears_turns and self._item is not None:
            yield from self._end_turn(self._item, heard_s)

    def lose(self, error: ApiError) -> Iterator[Event]:
        """Take the loss of audio that was under way."""
        if self._marks and (item := self._marks[0].item) is not None:
            yield from self._fail(item, error)
        elif self._item is not None and self._item.is_known:
            yield from self._fail(self._item, error)
            self._item = None
        elif self._marks or not self._hears_turns:
            self._current().failure = error  # which the commit of what is lost will say

    def fail_mark(self, error: ApiError) -> Iterator[Event]:
        """Take an error in place of the results before the next mark."""
        mark = self._marks.popleft()
        if mark.item is not None:
            yield from self._fail(mark.item, error)
        else:
            item = self._current()
            item.failure = error
            yield from self._end_commit(item, mark)

    def _hear_committed(self, item: _Item, result: StreamResult) -> Iterator[Event]:
        if result.is_final and result.text:
            item.captions.final(result.text)
            yield from self._tell(item)
        if result.flushed:
            self._done_s = self._marks.popleft().end_s
            yield from self._answer(item)

    def _hear_turn(self, result: StreamResult) -> Iterator[Event]:
        if result.flushed:
            item = self._current()
            if result.text:
                yield from self._begin_turn(item, result)
                item.captions.final(result.text)
            yield from self._end_commit(item, self._marks.popleft())
        elif result.is_final and result.text:
            item = self._current()
            yield from self._begin_turn(item, result)
            item.captions.final(result.text)
            yield from self._tell(item)
            yield from self._end_turn(item, self._origin_s + (result.seconds if result.end is None else result.end))
        elif not result.is_final and (result.text or result.start is not None):
            item = self._current()
            yield from self._begin_turn(item, result)
            if self._is_early:
                item.captions.partial(result.stable)
                yield from self._tell(item)
        elif not result.is_final and self._item is not None and self._item.is_known:
            # It was no speech after all, and the caller waits for the end of what began.
            yield from self._end_turn(self._item, self._origin_s + result.seconds)

    def _begin_turn(self, item: _Item, result: StreamResult) -> Iterator[Event]:
        if item.is_known:
            return
        item.is_known = True
        if result.start is not None:
            item.start_s = self._origin_s + result.start
        self._count(item)
        yield wire.speech_started(item.id, item.start_s)
        yield from self._tell(item)  # what came before the caller wanted turns

    def _end_turn(self, item: _Item, end_s: float) -> Iterator[Event]:
        item.end_s = self._done_s = end_s
        self._item = None
        self._boundary_s = max(self._boundary_s, end_s)
        yield wire.speech_stopped(item.id, end_s)
        yield from self._commit(item)
        yield from self._answer(item)

    def _end_commit(self, item: _Item, mark: _Mark) -> Iterator[Event]:
        """Answer a commit by what was said after the last turn, if anything was."""
        item.end_s = self._done_s = mark.end_s
        self._item = None
        if not item.is_known:
            self._count(item)
        yield from self._commit(item)
        yield from self._tell(item)
        yield from self._answer(item)
        yield from mark.then

    # Items.

    def _current(self) -> _Item:
        """Return the item that is being said, maybe a new one."""
        if self._item is None:
            self._item = _Item(self._new_id(), self._done_s)
        return self._item

    def _count(self, item: _Item) -> None:
        """Count an item that is there whether its caller has had too many or not."""
        try:
            self._admit()
        except ApiError as error:
            item.failure = item.failure or error

    def _mark(self, item: _Item | None) -> None:
        """Put a mark behind all audio that has come; with an item, that is no longer what is being said."""
        self._boundary_s = self.received_s
        self._marks.append(_Mark(self.received_s, item))
        if item is not None:
            item.end_s, self._item = self.received_s, None

    def _commit(self, item: _Item) -> Iterator[Event]:
        item.is_known = True
        yield from wire.committed(item.id, self._previous_id, self.is_beta)
        self._previous_id = item.id

    def _tell(self, item: _Item) -> Iterator[Event]:
        """Send the text of an item that its caller does not know yet."""
        if item.failure is None and not item.is_over and (part := item.captions.news()):
            yield wire.delta(item.id, part)

    def _answer(self, item: _Item) -> Iterator[Event]:
        """End an item, if it has not ended."""
        if item.failure is not None:
            yield from self._fail(item, item.failure)
        elif not item.is_over:
            item.is_over = True
            yield wire.completed(item.id, item.captions.text, item.seconds)

    def _fail(self, item: _Item, told: ApiError) -> Iterator[Event]:
        if not item.is_over:
            item.is_over = True
            yield wire.failed(item.id, told)

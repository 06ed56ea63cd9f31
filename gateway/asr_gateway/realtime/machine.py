"""The Realtime API as a state machine: messages and results in, events for the caller and work for a server out.

It does no I/O and knows no time.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from asr_client import AsrError, ModelInfo, StreamResult

from asr_gateway import decoding, errors
from asr_gateway.errors import ApiError
from asr_gateway.realtime import wire
from asr_gateway.realtime.conversation import Conversation
from asr_gateway.realtime.fields import Fields, wrong
from asr_gateway.realtime.formats import SAMPLE_BYTES
from asr_gateway.realtime.settings import BETA_UPDATE, Settings, described, updated
from asr_gateway.realtime.wire import Event
from asr_gateway.realtime.work import Begin, Flush, Push, Work

_UPDATE = "session.update"
_PIECE_S = 5.0  # of audio that goes on at once


@dataclass(frozen=True)
class Find:
    """Find a model, and say what it is by `found`, or that there is none by `refused`."""

    name: str  # or an alias; "": the default one


Output = Event | Find | Work


class Machine:
    """The state of one session.

    Args:
        name: of the session; ids are made of it.
        settings: with which it begins.
        model: of these settings.
        most_bytes: of samples that may wait for a commit, if the model hears whole recordings only.
        admit: called for each item; raises an ApiError if its caller has had too many.
    """

    def __init__(
        self, name: str, settings: Settings, model: ModelInfo, most_bytes: int, admit: Callable[[], None]
    ) -> None:
        self._name = name
        self._model = model
        self._settings = _able(settings, model)
        self._most_bytes = most_bytes
        self._numbers = {"event": 0, "item": 0}
        self._conversation = Conversation(lambda: self._id("item"), admit)
        self._asked: tuple[Settings, Fields] | None = None  # the update whose model is looked for
        self._begun: Begin | None = None  # how the audio that came last is heard
        self._half = b""  # of a sample
        self._samples = 0  # that have come

    def opened(self) -> list[Event]:
        """Return the first event of the session."""
        is_old = self._settings.is_beta and self._settings.kind == "transcription"
        return [self._session("transcription_session.created" if is_old else "session.created")]

    # What a caller sends.

    def received(self, message: str | bytes | None) -> list[Output]:
        """Take a message.

        Args:
            message: as it came; only text is right.
        """
        culprit: str | None = None
        try:
            event = wire.read(message)
            culprit = wire.event_id(event)
            return list(self._handler(event)(event))
        except ApiError as error:
            return [self._event(wire.error(error, culprit))]

    def found(self, model: ModelInfo) -> list[Event]:
        """Take the model of the settings that the caller asks for."""
        assert self._asked is not None
        settings, event = self._asked
        try:
            self._check(settings, model)
        except ApiError as error:
            return self.refused(error)
        self._settings, self._model, self._asked = _able(settings, model), model, None
        is_old = event.value("type") == BETA_UPDATE
        return [self._session("transcription_session.updated" if is_old else "session.updated")]

    def refused(self, error: ApiError) -> list[Event]:
        """Say why there is no such model, or why it does not take the settings. Those from before stay."""
        assert self._asked is not None
        (_, event), self._asked = self._asked, None
        return [self._event(wire.error(error, wire.event_id(event)))]

    def _handler(self, event: Fields) -> Callable[[Fields], Iterator[Output]]:
        handlers: Mapping[str, Callable[[Fields], Iterator[Output]]] = {
            _UPDATE: self._update,
            BETA_UPDATE: self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
        }
        kind = event.value("type")
        if not isinstance(kind, str) or kind not in handlers:
            raise wrong("type", kind, f"one of {', '.join(handlers)}: this service transcribes, and gives no responses")
        return handlers[kind]

    def _update(self, event: Fields) -> Iterator[Output]:
        settings = updated(self._settings, event)
        self._asked = settings, event
        yield Find(settings.model)

    def _append(self, event: Fields) -> Iterator[Output]:
        audio = self._settings.format.decoded(_decoded(event.value("audio")))
        self._check_room(len(audio))
        audio, self._half = _whole(self._half + audio)
        if not audio:
            return
        if (begin := self._begin()) != self._begun:
            self._begun = begin
            yield begin
        self._samples += len(audio) // SAMPLE_BYTES
        self._conversation.received_s = self._samples / begin.rate
        piece = int(_PIECE_S * begin.rate) * SAMPLE_BYTES
        for place in range(0, len(audio), piece):
            yield Push(audio[place : place + piece])

    def _commit(self, event: Fields) -> Iterator[Output]:
        if not self._conversation.news_s:
            raise ApiError(
                400,
                "input_audio_buffer_commit_empty",
                "There is no audio to commit: none has come since the last item. Send input_audio_buffer.append first.",
            )
        assert self._begun is not None  # with the audio
        yield from self._events(self._conversation.commit(self._begun.turns is not None))
        yield Flush()

    def _clear(self, event: Fields) -> Iterator[Output]:
        if self._conversation.news_s:
            self._conversation.clear()
            yield Flush(is_wanted=False)
        self._half = b""
        yield from self._events(self._conversation.after_commits({"type": "input_audio_buffer.cleared"}))

    # What a server does.

    def begun(self, begin: Begin, heard_s: float) -> None:
        """Note that a server begins to hear.

        Args:
            begin: how.
            heard_s: seconds of the session's audio that came before.
        """
        self._conversation.begin(heard_s, begin.turns is not None, begin.is_early)

    def heard(self, result: StreamResult) -> list[Event]:
        """Take a result of the server that hears."""
        return self._events(self._conversation.hear(result))

    def ended(self, heard_s: float) -> list[Event]:
        """Note that the server has heard all that it gets, because the settings have changed.

        Args:
            heard_s: seconds of the session's audio so far.
        """
        return self._events(self._conversation.end(heard_s))

    def lost(self, error: AsrError, flushes: int) -> list[Event]:
        """Take the end of the server that heard.

        Args:
            error: why.
            flushes: how many `Flush`es it has got and not answered. It has got no audio after them.
        """
        told = errors.of_client(error)
        events = [event for _ in range(flushes) for event in self.flush_failed(error)]
        if not flushes:
            events += self._events(self._conversation.lose(told))
        return events or [self._event(wire.error(told, None))]

    def flush_failed(self, error: AsrError) -> list[Event]:
        """Take the error that a server gives in place of the result of a Flush; it hears on."""
        return self._events(self._conversation.fail_mark(errors.of_client(error)))

    # The session.

    def _begin(self) -> Begin:
        """Return how audio is heard with the settings of now."""
        settings, model = self._settings, self._model
        options = decoding.live(
            model,
            languages=settings.languages,
            keywords=settings.keywords,
            context=settings.prompt,
            vad=settings.turns is not None,
        )
        return Begin(model, settings.format.rate, settings.turns, settings.is_early, options)

    def _check_room(self, size: int) -> None:
        """Raise an ApiError if so many bytes more would be too much for a recording."""
        held = round(self._conversation.news_s * self._settings.format.rate) * SAMPLE_BYTES
        if not self._model.takes_streams and held + size > self._most_bytes:
            raise ApiError(
                413,
                "input_audio_buffer_full",
                f"The buffer would have more than {self._most_bytes} bytes of 16-bit samples, the limit here: commit "
                "it, or clear it.",
            )

    def _check(self, settings: Settings, model: ModelInfo) -> None:
        """Raise an ApiError if the session cannot have these settings."""
        if settings.format != self._settings.format and self._samples:
            raise ApiError(
                400,
                "unsupported_value",
                "The format of the audio cannot change after audio has come: open another session.",
                param="session.audio.input.format",
            )
        if settings.turns is not None and settings.has_chosen_turns and not model.takes_streams:
            raise ApiError(
                400,
                "unsupported_value",
                f"The model {model.name!r} hears whole recordings only, and finds no turns: set turn_detection to "
                "null, and send input_audio_buffer.commit.",
                param="session.audio.input.turn_detection",
            )

    def _session(self, kind: str) -> Event:
        shown = described(self._settings, f"sess_{self._name}", self._model.name)
        return self._event({"type": kind, "session": shown})

    def _events(self, events: Iterable[Event]) -> list[Event]:
        self._conversation.is_beta = self._settings.is_beta
        return [self._event(event) for event in events]

    def _event(self, event: Event) -> Event:
        return {"type": event["type"], "event_id": self._id("event"), **event}

    def _id(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind}_{self._name}_{self._numbers[kind]}"


def _able(settings: Settings, model: ModelInfo) -> Settings:
    """Return the settings without turns, if the model finds none and the caller has not asked for them."""
    if settings.turns is None or settings.has_chosen_turns or model.takes_streams:
        return settings
    return replace(settings, turns=None)


def _decoded(audio: object) -> bytes:
    """Return the bytes of base64.

    Raises:
        ApiError: it is none.
    """
    if not isinstance(audio, str):
        raise wrong("audio", audio, "base64")
    try:
        return base64.b64decode(audio, validate=True)
    except ValueError:
        raise wrong("audio", audio, "base64") from None


def _whole(audio: bytes) -> tuple[bytes, bytes]:
    """Return whole samples, and the part of one after them."""
    end = len(audio) // SAMPLE_BYTES * SAMPLE_BYTES
    return audio[:end], audio[end:]

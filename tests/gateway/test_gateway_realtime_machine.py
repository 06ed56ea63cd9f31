"""The Realtime API as a state machine: no server, no socket, no time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from asr_client import OptionRefused, ServerUnavailable, StreamResult
from asr_gateway.errors import ApiError
from asr_gateway.realtime.machine import Find, Machine
from asr_gateway.realtime.settings import Settings, TurnDetection
from asr_gateway.realtime.work import Begin, Flush, Push
from realtime_app import LIVE, RATE, SILENCE, SOUND, TRANSCRIPTION, WHISPER, WHOLE, append, kinds, session

COMMIT, CLEAR = ({"type": f"input_audio_buffer.{what}"} for what in ("commit", "clear"))
BY_HAND = {"turn_detection": None}
EARLY = {"transcription": {"delay": "low"}}


class Session:
    """A machine, and the server that hears for it."""

    def __init__(
        self, settings: Settings | None = None, model: Any = LIVE, most_bytes: int = 10**6, admit: Any = lambda: None
    ) -> None:
        self.machine = Machine("x", settings or Settings(), model, most_bytes, admit)
        self.model = model
        self.work: list[Any] = []

    def send(self, event: Any) -> list[Any]:
        """The events that answer an event."""
        return self.take(self.machine.received(event if isinstance(event, str | bytes) else json.dumps(event)))

    def take(self, outputs: list[Any]) -> list[Any]:
        if outputs and isinstance(outputs[0], Find):
            return self.take(self.machine.found(self.model))
        for output in outputs:
            if isinstance(output, Begin):
                self.machine.begun(output, 0.0)
        self.work += [output for output in outputs if not isinstance(output, dict)]
        return [output for output in outputs if isinstance(output, dict)]

    def hear(self, text: str, stable: str = "", start: float | None = None) -> list[Any]:
        return self.take(self.machine.heard(StreamResult(text, False, stable, 1.0, start=start)))

    def hear_final(self, text: str, start: float = 0.0, end: float = 0.5, flushed: bool = False) -> list[Any]:
        result = StreamResult(text, True, text, 1.0, start=start, end=end if text else None, flushed=flushed)
        return self.take(self.machine.heard(result))


def talking(**audio: Any) -> Session:
    """A session with audio of 8 kHz, of which 0.2 s have come."""
    talker = Session()
    talker.send(session(**audio))
    talker.send(append(SOUND + SOUND))
    return talker


def transcript(event: Any) -> str:
    assert event["type"] == f"{TRANSCRIPTION}.completed"
    return str(event["transcript"])


def code(events: list[Any]) -> str:
    assert kinds(events) == ["error"]
    return str(events[0]["error"]["code"])


def test_a_turn() -> None:
    talker = talking(**EARLY)
    started, first = talker.hear("HE IS", "HE", start=0.05)
    (second,) = talker.hear("HE IS THERE", "HE IS", start=0.05)
    third, stopped, committed, added, done, completed = talker.hear_final("HE IS THERE", start=0.05, end=0.15)
    assert kinds([started, stopped, committed]) == ["speech_started", "speech_stopped", "committed"]
    assert (started["audio_start_ms"], stopped["audio_end_ms"]) == (50, 150)
    assert [event["delta"] for event in (first, second, third)] == ["HE", " IS", " THERE"]
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert transcript(completed) == "HE IS THERE"
    assert completed["usage"] == {"type": "duration", "seconds": 1}
    assert {event["item_id"] for event in (started, first, stopped, committed, completed)} == {added["item"]["id"]}


def test_items_follow_each_other() -> None:
    talker = talking()
    first = talker.hear_final("HE", end=0.1)
    second = talker.hear_final("SHE", start=0.1, end=0.2)
    ids = [next(event for event in events if event["type"].endswith(".committed")) for events in (first, second)]
    assert [event["previous_item_id"] for event in ids] == [None, ids[0]["item_id"]]
    assert ids[0]["item_id"] != ids[1]["item_id"]
    numbers = [event["event_id"] for event in first + second]
    assert len(set(numbers)) == len(numbers)


def test_speech_is_known_before_its_first_word() -> None:
    talker = talking()
    assert kinds(talker.hear("", start=0.05)) == ["speech_started"]
    assert kinds(talker.hear("HE", start=0.05)) == []


def test_what_was_no_speech_ends() -> None:
    talker = talking()
    talker.hear("", start=0.05)
    events = talker.hear("")
    assert kinds(events)[:2] == ["speech_stopped", "committed"]
    assert transcript(events[-1]) == ""


@pytest.mark.parametrize("delay", [None, "high", "xhigh"])
def test_deltas_are_final_unless_the_caller_wants_them_early(delay: str | None) -> None:
    talker = talking(transcription={"delay": delay})
    assert kinds(talker.hear("HE WAS", "HE WAS", start=0.0)) == ["speech_started"]
    events = talker.hear_final("HE IS")
    assert kinds(events)[0] == "delta"
    assert transcript(events[-1]) == events[0]["delta"] == "HE IS"


def test_the_final_text_is_the_transcript_whatever_was_told_early() -> None:
    talker = talking(**EARLY)
    events = talker.hear("HE WAS NOT", "HE WAS", start=0.0) + talker.hear_final("HE IS NOT THERE")
    assert [event["delta"] for event in events if event["type"].endswith("delta")] == ["HE WAS"]
    assert transcript(events[-1]) == "HE IS NOT THERE"


def test_a_commit_by_hand_is_one_item() -> None:
    talker = talking(**BY_HAND)
    assert talker.hear("HE", "HE", start=0.0) == []
    assert talker.hear_final("HE IS") == []
    committed, added, _, delta = talker.send(COMMIT)
    assert (added["item"]["id"], delta["delta"]) == (committed["item_id"], "HE IS")
    assert talker.work[-1] == Flush()
    assert kinds(talker.hear_final("THERE")) == ["delta"]
    delta, completed = talker.hear_final("NOW", flushed=True)
    assert (delta["delta"], transcript(completed)) == (" NOW", "HE IS THERE NOW")
    assert completed["item_id"] == committed["item_id"]


def test_commits_that_follow_each_other() -> None:
    talker = talking(**BY_HAND)
    first = talker.send(COMMIT)[0]
    talker.send(append(SOUND))
    second = talker.send(COMMIT)[0]
    answers = [talker.hear_final(text, flushed=True)[-1] for text in ("HE", "")]
    assert [(answer["item_id"], answer["transcript"]) for answer in answers] == [
        (first["item_id"], "HE"),
        (second["item_id"], ""),
    ]


def test_a_commit_of_nothing_is_an_error() -> None:
    talker = Session()
    events = talker.send({**COMMIT, "event_id": "mine"})
    assert code(events) == "input_audio_buffer_commit_empty"
    assert events[0]["error"]["event_id"] == "mine"
    talker.send(append(b"\0"))  # not a whole sample
    assert code(talker.send(COMMIT)) == "input_audio_buffer_commit_empty"
    talker.send(append(bytes(2 * 24 + 1)))  # a bit more than a millisecond
    assert talker.send(COMMIT) == []
    assert talker.work[-1] == Flush()
    assert code(talker.send(COMMIT)) == "input_audio_buffer_commit_empty"


def test_a_commit_ends_a_turn() -> None:
    talker = talking()
    item = talker.hear("HE IS", "HE", start=0.0)[0]["item_id"]
    assert talker.send(COMMIT) == []
    events = talker.hear_final("HE IS", flushed=True)
    assert [kinds(events)[place] for place in (0, -2, -1)] == ["committed", "delta", "completed"]
    assert (events[-1]["item_id"], transcript(events[-1])) == (item, "HE IS")
    assert events[-1]["usage"]["seconds"] == 1


def test_a_commit_after_a_turn_is_answered() -> None:
    talker = talking()
    first = talker.hear_final("HE IS", end=0.1)[-1]["item_id"]
    talker.send(COMMIT)
    committed, *_, completed = talker.hear_final("", flushed=True)
    assert committed["previous_item_id"] == first
    assert (completed["item_id"], transcript(completed)) == (committed["item_id"], "")


def test_a_commit_right_at_the_end_of_a_turn_is_empty() -> None:
    talker = talking()
    talker.hear_final("HE IS", end=0.2)
    assert code(talker.send(COMMIT)) == "input_audio_buffer_commit_empty"


def test_turns_that_end_before_the_mark_of_a_commit_are_items() -> None:
    talker = talking()
    talker.send(COMMIT)
    first = talker.hear("HE", "", start=0.0) + talker.hear_final("HE IS", end=0.1)
    second = talker.hear("TH", start=0.15) + talker.hear_final("THERE", start=0.15, end=0.2, flushed=True)
    assert [transcript(events[-1]) for events in (first, second)] == ["HE IS", "THERE"]
    assert "speech_stopped" in kinds(first)
    assert "speech_stopped" not in kinds(second)
    assert first[-1]["item_id"] != second[-1]["item_id"]


def test_without_turns_they_belong_to_the_commit() -> None:
    talker = talking(**BY_HAND)
    item = talker.send(COMMIT)[0]["item_id"]
    events = talker.hear_final("HE IS") + talker.hear("TH", start=0.1) + talker.hear_final("THERE", flushed=True)
    assert kinds(events) == ["delta", "delta", "completed"]
    assert {event["item_id"] for event in events} == {item}
    assert transcript(events[-1]) == "HE IS THERE"


@pytest.mark.parametrize("audio", [{}, BY_HAND])
def test_what_is_cleared_is_forgotten(audio: dict[str, Any]) -> None:
    talker = talking(**audio)
    talker.hear("HE IS", start=0.0)
    assert kinds(talker.send(CLEAR)) == ["cleared"]
    assert talker.work[-1] == Flush(is_wanted=False)
    assert talker.hear_final("HE IS", flushed=True) == []
    assert code(talker.send(COMMIT)) == "input_audio_buffer_commit_empty"


@pytest.mark.parametrize("more", [0, 1])
def test_what_is_committed_is_answered_before_the_rest_is_cleared(more: int) -> None:
    talker = talking()
    assert talker.send(COMMIT) == []
    for _ in range(more):
        talker.send(append(SOUND))
    assert talker.send(CLEAR) == []
    events = talker.hear_final("HE IS", flushed=True)
    assert kinds(events)[-2:] == ["completed", "cleared"]
    assert transcript(events[-2]) == "HE IS"
    assert "committed" in kinds(events)
    assert [talker.hear_final("NOT HEARD", flushed=True) for _ in range(more)] == [[]] * more
    assert kinds(talker.send(CLEAR)) == ["cleared"]


def test_the_rest_is_cleared_when_what_is_committed_fails() -> None:
    talker = talking()
    talker.send(COMMIT)
    talker.send(CLEAR)
    events = talker.take(talker.machine.lost(ServerUnavailable("gone"), 1))
    assert kinds(events)[-2:] == ["failed", "cleared"]


def test_a_commit_by_hand_is_known_when_the_rest_is_cleared() -> None:
    talker = talking(**BY_HAND)
    assert kinds(talker.send(COMMIT))[0] == "committed"
    assert kinds(talker.send(CLEAR)) == ["cleared"]
    assert kinds(talker.hear_final("HE IS", flushed=True)) == ["delta", "completed"]


def test_nothing_is_cleared_without_work() -> None:
    talker = Session()
    assert kinds(talker.send(CLEAR)) == ["cleared"]
    assert talker.work == []


def test_audio_goes_on_in_pieces() -> None:
    talker = Session()
    talker.send(session())
    talker.send(append(bytes(2 * 12 * RATE)))
    begin, *pieces = talker.work
    assert begin.rate == RATE
    assert [len(piece.audio) // 2 // RATE for piece in pieces] == [5, 5, 2]


def test_half_a_sample_waits_for_the_other_half() -> None:
    talker = talking()
    for part in (b"\1\2\3", b"\4"):
        talker.send(append(part))
    assert talker.work[-2:] == [Push(b"\1\2"), Push(b"\3\4")]


def test_telephone_audio() -> None:
    talker = Session()
    talker.send(session(format={"type": "audio/pcmu"}))
    talker.send(append(b"\xff\x00"))
    assert talker.work[-1] == Push(b"\x00\x00\x84\x82")  # 0 and -32,124


def test_settings_reach_the_server() -> None:
    talker = talking(
        transcription={"keywords": ["Quilter"], "prompt": "Anna", "language": "en", "model": "asr"},
        turn_detection={"type": "semantic_vad", "eagerness": "low", "silence_duration_ms": 300},
    )
    begin = talker.work[0]
    assert begin.turns == TurnDetection("semantic_vad", 300)
    assert (begin.options.hotwords, begin.options.language) == ("Quilter,Anna", None)


def test_a_whisper_gets_language_and_prompt() -> None:
    talker = Session(model=WHISPER)
    talker.send(session(transcription={"prompt": "Anna", "language": "de-CH"}))
    talker.send(append(SOUND))
    assert (talker.work[0].options.prompt, talker.work[0].options.language) == ("Anna", "de")


def test_new_settings_hold_from_there_on() -> None:
    talker = talking()
    talker.hear("HE", start=0.0)
    talker.send(session(turn_detection={"type": "server_vad", "silence_duration_ms": 200}))
    assert not any(isinstance(work, Begin) for work in talker.work[1:])
    talker.send(append(SOUND))
    assert [type(work) for work in talker.work[-2:]] == [Begin, Push]


def test_an_update_without_news_goes_on() -> None:
    talker = talking()
    talker.send(session())
    talker.send(append(SOUND))
    assert [type(work) for work in talker.work] == [Begin, Push, Push]


def test_a_turn_ends_with_the_server_that_hears_it() -> None:
    talker = talking()
    talker.hear("", start=0.0)
    events = talker.take(talker.machine.ended(0.2))
    assert kinds(events)[:2] == ["speech_stopped", "committed"]
    assert events[0]["audio_end_ms"] == 200
    assert transcript(events[-1]) == ""


def test_times_count_from_the_beginning_of_the_session() -> None:
    talker = talking()
    talker.machine.begun(talker.work[0], 30.0)
    assert talker.hear("HE", start=0.5)[0]["audio_start_ms"] == 30_500


def test_the_format_cannot_change_after_audio() -> None:
    talker = talking()
    events = talker.send({**session(format={"type": "audio/pcma"}), "event_id": "mine"})
    assert (code(events), events[0]["error"]["event_id"]) == ("unsupported_value", "mine")
    assert kinds(talker.send(session()))[0] == "session.updated"


def test_an_update_that_is_wrong_changes_nothing() -> None:
    talker = Session()
    update = session(transcription={"prompt": "Anna"}, turn_detection={"type": "server_vad", "threshold": 2})
    events = talker.send(update)
    assert events[0]["error"]["param"] == "session.audio.input.turn_detection.threshold"
    shown = talker.send({"type": "session.update", "session": {}})[0]["session"]
    assert shown["audio"]["input"]["transcription"]["prompt"] == ""
    assert shown["audio"]["input"]["format"]["rate"] == 24_000


def test_a_model_that_hears_whole_recordings_needs_commits() -> None:
    talker = Session(model=WHOLE)
    assert talker.machine.opened()[0]["session"]["audio"]["input"]["turn_detection"] is None  # type: ignore[index]
    events = talker.send(session(turn_detection={"type": "server_vad"}))
    assert code(events) == "unsupported_value"
    assert "null" in events[0]["error"]["message"]
    assert kinds(talker.send(session()))[0] == "session.updated"


def test_such_a_model_s_buffer_is_bounded() -> None:
    talker = Session(model=WHOLE, most_bytes=len(SOUND))
    talker.send(session())
    assert talker.send(append(SOUND)) == []
    assert code(talker.send(append(b"\1\2"))) == "input_audio_buffer_full"
    assert kinds(talker.send(COMMIT))[0] == "committed"
    assert talker.send(append(SOUND)) == []


def test_a_live_model_s_is_not() -> None:
    talker = Session(most_bytes=len(SOUND))
    assert talker.send(append(10 * SOUND)) == []


class TestDialects:
    """Each caller is answered as it speaks."""

    def opened(self, **settings: Any) -> Any:
        return Machine("x", Settings(**settings), LIVE, 1, lambda: None).opened()[0]

    def test_transcription(self) -> None:
        event = self.opened()
        assert (event["type"], event["session"]["type"]) == ("session.created", "transcription")
        assert event["session"]["audio"]["input"]["turn_detection"] == {"type": "server_vad"}

    def test_realtime(self) -> None:
        event = self.opened(kind="realtime")
        assert (event["session"]["object"], event["session"]["model"]) == ("realtime.session", "asr")

    def test_beta(self) -> None:
        event = self.opened(is_beta=True)
        assert event["type"] == "transcription_session.created"
        assert event["session"]["input_audio_format"] == "pcm16"

    @pytest.mark.parametrize("kind", ["transcription_session.update", "session.update"])
    def test_flat_sessions(self, kind: str) -> None:
        talker = Session()
        flat = {
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en"},
            "turn_detection": None,
            "voice": "alloy",
        }
        (event,) = talker.send({"type": kind, "session": flat})
        assert event["type"] == f"{kind}d"
        assert (event["session"]["input_audio_format"], event["session"]["turn_detection"]) == ("g711_ulaw", None)
        assert event["session"]["input_audio_transcription"]["model"] == "gpt-4o-transcribe"
        talker.send(append(SOUND))
        assert "conversation.item.created" in [event["type"] for event in talker.send(COMMIT)]

    def test_the_last_words_count(self) -> None:
        talker = Session(Settings(is_beta=True))
        assert "type" not in talker.send({"type": "session.update", "session": {"instructions": "Hi"}})[0]["session"]
        (event,) = talker.send({"type": "session.update", "session": {"type": "realtime", "model": "gpt-realtime"}})
        assert event["session"]["type"] == "realtime"


class TestFailures:
    """A server that fails."""

    lost = ServerUnavailable("10.0.0.1:8001 is away")

    def fail(self, talker: Session, flushes: int = 0) -> list[Any]:
        events = talker.take(talker.machine.lost(self.lost, flushes))
        assert "10.0.0.1" not in json.dumps(events)
        return events

    def test_a_turn_fails(self) -> None:
        talker = talking()
        item = talker.hear("HE", start=0.0)[0]["item_id"]
        (event,) = self.fail(talker)
        assert (event["type"], event["item_id"]) == (f"{TRANSCRIPTION}.failed", item)
        assert event["error"]["code"] == "server_unavailable"
        assert talker.hear("SHE", start=0.0)[0]["item_id"] != item

    def test_a_commit_that_it_had_fails_and_those_after_it_do_not(self) -> None:
        talker = talking(**BY_HAND)
        items = []
        for _ in range(2):
            talker.send(append(SOUND))
            items.append(talker.send(COMMIT)[0]["item_id"])
        assert [event["item_id"] for event in self.fail(talker, flushes=1)] == items[:1]
        assert talker.hear_final("HE", flushed=True)[-1]["item_id"] == items[1]

    def test_a_commit_fails_where_the_server_finds_turns(self) -> None:
        talker = talking()
        talker.send(COMMIT)
        events = self.fail(talker, flushes=1)
        assert [kinds(events)[place] for place in (0, -1)] == ["committed", "failed"]
        talker.send(append(SOUND))
        talker.send(COMMIT)
        assert code(self.fail(talker)) == "server_unavailable"
        events = talker.hear_final("", flushed=True)
        assert [kinds(events)[place] for place in (0, -1)] == ["committed", "failed"]

    def test_a_commit_whose_audio_it_had_fails_although_its_mark_comes_later(self) -> None:
        talker = talking(**BY_HAND)
        item = talker.send(COMMIT)[0]["item_id"]
        assert [event["item_id"] for event in self.fail(talker)] == [item]
        assert talker.hear_final("", flushed=True) == []

    def test_audio_that_is_not_committed_fails_when_it_is(self) -> None:
        talker = talking(**BY_HAND)
        assert code(self.fail(talker)) == "server_unavailable"
        assert kinds(talker.send(COMMIT))[0] == "committed"
        (event,) = talker.hear_final("", flushed=True)
        assert event["type"] == f"{TRANSCRIPTION}.failed"

    def test_cleared_audio_does_not(self) -> None:
        talker = talking(**BY_HAND)
        self.fail(talker)
        talker.send(CLEAR)
        talker.hear_final("", flushed=True)
        talker.send(append(SOUND))
        talker.send(COMMIT)
        assert transcript(talker.hear_final("HE", flushed=True)[-1]) == "HE"

    def test_nothing_under_way_is_an_error(self) -> None:
        assert code(self.fail(talking())) == "server_unavailable"

    def test_a_flush_that_fails_leaves_the_next_one(self) -> None:
        talker = talking(**BY_HAND)
        talker.send(COMMIT)
        talker.send(append(SOUND))
        second = talker.send(COMMIT)[0]["item_id"]
        events = talker.take(talker.machine.flush_failed(OptionRefused("no")))
        assert kinds(events) == ["failed"]
        assert talker.hear_final("HE", flushed=True)[-1]["item_id"] == second


class TestRates:
    """Callers with too many items."""

    @pytest.fixture
    def once(self) -> Callable[[], None]:
        left = [None]

        def admit() -> None:
            if not left:
                raise ApiError(429, "rate_limit_exceeded", "Too many.")
            left.pop()

        return admit

    def test_a_commit_too_many_is_an_error_and_can_be_repeated(self, once: Callable[[], None]) -> None:
        talker = Session(Settings(turns=None, has_chosen_turns=True), admit=once)
        for expected in ("committed", "error"):
            talker.send(append(SOUND))
            assert kinds(talker.send(COMMIT))[0] == expected
        assert code(talker.send(COMMIT)) == "rate_limit_exceeded"

    def test_a_turn_too_many_gets_no_text(self, once: Callable[[], None]) -> None:
        talker = Session(admit=once)
        talker.send(append(SOUND))
        talker.hear_final("HE", end=0.01)
        events = talker.hear("SHE IS", "SHE", start=0.02) + talker.hear_final("SHE IS", start=0.02, end=0.03)
        assert kinds(events)[:3] == ["speech_started", "speech_stopped", "committed"]
        assert events[-1]["error"]["code"] == "rate_limit_exceeded"
        assert not any("SHE" in str(event) for event in events)


@pytest.mark.parametrize(
    ("message", "code_"),
    [
        (b'{"type": "input_audio_buffer.commit"}', "invalid_message"),
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ("null", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("9" * 5_000, "invalid_json"),
        ("{}", "invalid_value"),
        ('{"type": "response.create"}', "invalid_value"),
        ('{"type": ["session.update"]}', "invalid_value"),
        ('{"type": "session.update"}', "missing_required_parameter"),
        ('{"type": "session.update", "session": "all"}', "invalid_value"),
        ('{"type": "session.update", "session": {"audio": []}}', "invalid_value"),
        ('{"type": "session.update", "session": {"type": "translation"}}', "invalid_value"),
        ('{"type": "input_audio_buffer.append"}', "invalid_value"),
        ('{"type": "input_audio_buffer.append", "audio": "a"}', "invalid_value"),
        ('{"type": "input_audio_buffer.append", "audio": "ä==="}', "invalid_value"),
        ('{"type": "input_audio_buffer.append", "audio": [1, 2]}', "invalid_value"),
    ],
)
def test_what_is_no_event(message: str | bytes, code_: str) -> None:
    events = Session().send(message)
    assert code(events) == code_
    assert events[0]["event_id"]
    assert events[0]["error"]["type"] == "invalid_request_error"


def test_a_message_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr_gateway.realtime.wire.MOST_MESSAGE", 1000)
    assert code(Session().send(append(bytes(1000)))) == "message_too_large"


def test_ids_of_events_are_given_back_if_they_are_ids() -> None:
    for given, expected in (("mine", "mine"), ("", ""), (7, None), ("m" * 513, None), (None, None)):
        assert Session().send({"type": "no", "event_id": given})[0]["error"]["event_id"] == expected


@pytest.mark.parametrize("text", ["\ud800", "x" * 33_000])
def test_texts_that_no_server_takes(text: str) -> None:
    for field in ({"prompt": text}, {"keywords": [text]}, {"model": text}):
        events = Session().send(session(transcription=field))
        assert code(events) == "invalid_value"
        assert len(json.dumps(events)) < 1000


def test_silence_is_no_turn() -> None:
    talker = talking()
    talker.send(append(SILENCE))
    assert talker.hear("") == []
    assert talker.hear_final("") == []

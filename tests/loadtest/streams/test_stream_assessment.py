import pytest
from asr_loadtest.recordings import Recording
from asr_loadtest.results import Load, Slo
from asr_loadtest.server_view.watch import Observation
from asr_loadtest.streams.assessment import assess
from asr_loadtest.streams.generator import Session
from asr_loadtest.streams.playback import Lag, Pace, Piece, Playback, Script
from asr_loadtest.transcripts import Baseline

RECORDINGS = [Recording("one.wav", b"x", 2.0, "one two"), Recording("other.wav", b"x", 2.0)]
BASELINES = [Baseline("one two", 0.1), Baseline("three", 0.1)]
LOAD = Load("streams", 2.0, None, None, 0, 1.0, 3.0)
SCRIPT = Script(bytes(2 * 8000 * 4), 8000, 1)


def session(begin_s: float = 0.0, recording: int = 0, *, answer_s: float = 0.02, late_s: float = 0.0, **fields):
    """A stream of 4 s, in pieces of a second."""
    playback = Playback(SCRIPT, Pace(0.32, 0.16, 0.8))
    playback.sent = [Piece(due, due - 0.5, due + late_s, due + late_s + answer_s) for due in (1.0, 2.0, 3.0, 4.0)]
    playback.partials = [Lag(due + 0.1, 0.5) for due in (1.0, 2.0, 3.0)]
    playback.finals = [Lag(3.9, 1.2)]
    playback.texts = BASELINES[recording].text.split()
    playback.is_whole = True
    made = Session(recording, begin_s, playback, begin_s + 4.02)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def assessed(sessions, baselines=BASELINES, slo=Slo(), cpu_cores=0.2):  # noqa: B008 (frozen)
    return assess(LOAD, sessions, Observation(cpu_cores=cpu_cores), RECORDINGS, baselines, slo, 10.0)


def test_what_comes_in_the_measured_time_counts():
    step = assessed([session(-2.0), session(1.0)])
    # Of the first stream what came from 3.0 to 6.0 of its time, of the other what came until 3.0.
    assert step.latency.count == 1 + 2
    assert step.latency.p50_ms == pytest.approx(500)
    assert step.streams.final.count == 1
    assert step.streams.final.max_ms == pytest.approx(1200)
    assert step.streams.pieces == 2 + 2


def test_the_rate_is_the_seconds_of_audio_that_were_answered():
    step = assessed([session(1.0), session(1.0, answer_s=1.5)])
    # In three seconds: two pieces of the one, and one of the other.
    assert step.audio_rate == step.answered_rate == pytest.approx((2 + 1) / 3)
    assert step.offered_rate == 2
    assert [window.answered_rate for window in step.windows] == pytest.approx([0, 1, 2])


def test_transcripts_of_whole_streams_are_compared():
    cut = session()
    cut.playback.is_whole = False
    changed = session(recording=1)
    changed.playback.texts = ["tree"]
    step = assessed([session(), cut, changed])
    assert (step.requests, step.checked, step.changed, step.wer) == (3, 2, 1, 0.0)
    assert assessed([session()], baselines=None).checked == 0


def test_refused_streams_are_errors():
    refused = session(1.0, error="QueueFull", message="full", end_s=1.03)
    refused.playback.sent, refused.playback.partials, refused.playback.finals = [], [], []
    step = assessed([session(), refused], slo=Slo(error_rate=0.1))
    assert (step.errors, step.error_example, step.error_rate) == ({"QueueFull": 1}, "full", 0.5)
    assert step.rejected_latency.max_ms == pytest.approx(30)
    assert step.missed == ("error rate 50.00% > 10.00%",)


def test_the_promise_is_about_the_lag_of_partial_results():
    slow = [session(1.0 + 0.01 * number) for number in range(20)]
    for each in slow:
        each.playback.partials = [Lag(1.5, 1.6), Lag(2.5, 1.6)]
    assert assessed(slow, slo=Slo(p95_ms=1000)).missed == ("p95 1600 ms > 1000 ms",)
    assert assessed(slow, slo=Slo(p95_ms=1700)).ok


def test_pieces_that_the_generator_sent_late_make_a_step_void():
    step = assessed([session(late_s=0.2)])
    assert step.streams.late_pieces == 3
    assert step.generator.late == 3
    assert "late" in step.void[0]


def test_pieces_that_waited_for_an_answer_do_not():
    waited = session()
    for piece in waited.playback.sent:
        piece.asked_s = piece.sent_s = piece.due_s + 0.4
    step = assessed([waited])
    assert (step.streams.late_pieces, step.generator.late, step.void) == (3, 0, ())


def test_a_busy_generator_makes_a_step_void():
    assert "processor" in assessed([session()], cpu_cores=0.95).void[0]

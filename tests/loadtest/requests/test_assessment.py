import pytest
from asr_loadtest.recordings import Recording
from asr_loadtest.requests.assessment import assess
from asr_loadtest.requests.generator import Exchange
from asr_loadtest.results import Load, Slo
from asr_loadtest.server_view.watch import Observation
from asr_loadtest.transcripts import Baseline

RECORDINGS = [Recording("short.wav", b"x", 1.0, "one two"), Recording("long.wav", b"x", 12.0)]
BASELINES = [Baseline("one two", 0.1), Baseline("three", 0.1)]
LOAD = Load("open", 10.0, None, "constant", 0, 1.0, 3.0)


def done(at_s: float, latency_s: float = 0.1, recording: int = 0, late_s: float = 0.0, **fields) -> Exchange:
    fields = {"text": BASELINES[recording].text, **fields}
    return Exchange(recording, at_s, at_s + late_s, at_s + latency_s, **fields)


def failed(at_s: float, error: str = "QueueFull", latency_s: float = 0.01) -> Exchange:
    return done(at_s, latency_s, text=None, error=error, message=f"{error}!")


def assessed(exchanges, load=LOAD, slo=Slo(), baselines=BASELINES):  # noqa: B008 (frozen)
    return assess(load, exchanges, Observation(cpu_cores=0.2), RECORDINGS, baselines, slo, 10.0)


def test_the_ramp_is_in_no_figure():
    step = assessed([done(0.5, 9.0), failed(0.9), done(1.0), done(2.5, 0.3)])
    assert (step.requests, step.latency.count, step.latency.max_ms) == (2, 2, pytest.approx(300))
    assert step.errors == {}


def test_throughput_counts_answers_when_they_come():
    """One of the ramp comes in the measured time, one of the measured time after it."""
    step = assessed([done(0.9, 0.5), done(2.0), done(3.9, 0.5, recording=1)])
    assert step.offered_rate == step.achieved_rate == step.answered_rate == pytest.approx(2 / 3)
    assert step.audio_rate == pytest.approx(2 / 3)
    assert step.latency.count == 2


def test_the_three_windows_part_the_measured_time():
    step = assessed([done(1.2), done(2.2, 0.2), done(3.2, 0.3)])
    assert [(window.start_s, window.end_s) for window in step.windows] == [(0, 1), (1, 2), (2, 3)]
    assert [window.latency.p50_ms for window in step.windows] == pytest.approx([100, 200, 300])
    assert [window.answered_rate for window in step.windows] == [1, 1, 1]


def test_errors_are_counted_by_name_and_have_no_latency():
    step = assessed([done(1.1), failed(1.2), failed(1.3), failed(1.4, "DeadlineExceeded", 5.0)])
    assert step.errors == {"QueueFull": 2, "DeadlineExceeded": 1}
    assert step.error_example == "QueueFull!"
    assert step.error_rate == 0.75
    assert (step.latency.count, step.rejected_latency.count) == (1, 2)
    assert step.rejected_latency.p50_ms == pytest.approx(10)


def test_latency_by_length_class_goes_from_short_to_long():
    step = assessed([done(1.1, recording=1), done(1.2, 0.4)])
    assert list(step.by_class) == ["0-2 s", "10-20 s"]
    assert step.by_class["0-2 s"].max_ms == pytest.approx(400)


def test_transcripts_are_held_against_those_alone_and_the_references():
    step = assessed([done(1.1), done(1.2, text="One, three!"), done(1.3, recording=1, text="tree"), failed(1.4)])
    assert (step.checked, step.changed) == (3, 2)
    assert (step.wer, step.solo_wer) == (0.25, 0.0)


def test_without_solo_transcripts_nothing_is_checked():
    step = assessed([done(1.1)], baselines=None)
    assert (step.checked, step.changed, step.wer, step.solo_wer) == (0, 0, None, None)


def test_late_and_missing_requests_are_the_generators_fault():
    step = assessed([done(1.1, late_s=0.05), done(1.2), Exchange(0, 1.3)])
    generator = step.generator
    assert (generator.scheduled, generator.sent, generator.late) == (3, 2, 1)
    assert generator.worst_late_ms == pytest.approx(50)
    assert len(step.void) == 2


def test_a_closed_loop_is_never_late():
    load = Load("closed", None, 4, None, 0, 1.0, 3.0)
    assert assessed([done(1.1, late_s=0.05)], load).void == ()


def test_a_promise_that_is_broken_is_said():
    step = assessed([done(1 + index / 100, 0.3) for index in range(100)], slo=Slo(p95_ms=250))
    assert step.missed == ("p95 300 ms > 250 ms",)
    assert not step.ok


def test_a_soak_has_a_window_for_each_minute():
    load = Load("open", 1.0, None, "constant", 0, 1.0, 600.0)
    step = assessed([done(1.0 + at_s) for at_s in range(600)], load)
    assert [window.end_s - window.start_s for window in step.windows] == pytest.approx([60.0] * 10)
    assert sum(window.latency.count for window in step.windows) == 600

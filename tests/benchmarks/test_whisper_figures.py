"""docs/benchmarks-whisper.md has the figures that were measured, and the figures are what they say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import read_results
from speech import RATE
from whisper_bench import live, speeds
from whisper_bench.contenders import Heard, Job
from whisper_bench.live import Placed, Seen, Segment
from whisper_bench.page import PAGE, RESULTS, page
from whisper_bench.speech import Clip, Prompt, join, spread_by_length

MACHINE = {"cpu": "a processor", "cores": 2, "python": "3.11", "versions": {"onnxruntime": "1.2"}}


def prompt(seconds: float, text: str) -> Prompt:
    return Prompt(np.full(int(seconds * RATE), 0.1, np.float32), text)


def comparison() -> dict[str, Any]:
    rtfx = {"faster-whisper-int8": [20.0, 10.0], "kit-fp32": [30.0, 20.0]}
    about = {"recordings": 2, "audio_s": 8.0, "callers": 1, "rounds": 2, "unfit": []}
    speed = {**about, "contenders": speeds.figures(rtfx, {"faster-whisper-int8": 2.5, "kit-fp32": 1.25})}
    spread = {"median": 1.5, "min": 1.0, "max": 2.0}
    names = ("alone_s", "behind_s", "behind_to_alone", "window_s", "windows_after_caller_has_gone", "idle_after_s")
    line = {"short_s": 11.0, "long_s": 780.0, "rounds": 1, **dict.fromkeys(names, spread)}
    return {
        "machine": MACHINE,
        "left_out": {"kit-int8": "why it is not there"},
        "one_caller": {**speed, "versions": {"faster-whisper-int8": {"ctranslate2": "9.9"}}},
        "eight_callers": {**speed, "word_errors": {**about, "words": 20, "wer": {"kit-fp32": 3.75}}},
        "long_file": {**speed, "do_not_hear_it": ["onnx-asr"]},
        "head_of_line": {"kit-fp32": line},
    }


def test_the_page_has_the_figures_of_the_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, read_results(RESULTS)) == text


def test_the_page_says_what_was_measured_and_what_was_left_out() -> None:
    text = page(PAGE.read_text(encoding="utf-8"), {"comparison": comparison()})
    assert "| **this kit**, fp32 | 25.0 | 20.0 to 30.0 | 1.75 | 1.50 to 2.00 |  | 1.25 |" in text
    assert "- **this kit**, int8: `why it is not there`" in text
    assert "No recordings that are longer than a window: onnx-asr." in text
    assert "ctranslate2 9.9" in text
    assert text.count("Not measured yet.") == 2  # the hour and the live streams


def test_parts_that_were_measured_apart_stand_together() -> None:
    rows = {"long": {"wer": 5.0, "rtfx": 30.0, "most_mb": 700.0}}
    hour = {"audio_s": 3600.0, "words": 9000, "prompts": {"recordings": 80, "wer": 4.0}, "before_mb": 500.0}
    results = {
        "comparison": comparison(),
        "hour": {"machine": MACHINE, "left_out": {}, "kits": {"kit-fp32": {**hour, "rows": rows}}},
    }
    text = page(PAGE.read_text(encoding="utf-8"), json.loads(json.dumps(results)))
    assert "| **this kit**, fp32, long | 5.00 | 30.0 | 700 |" in text
    assert "| **this kit**, fp32, 80 prompts, each alone | 4.00 |  | before: 500 |" in text


def test_ratios_are_those_of_a_round() -> None:
    found = speeds.figures(
        {"faster-whisper-int8": [1, 10], "kit-fp32": [2, 5]}, {"faster-whisper-int8": 0, "kit-fp32": 0}
    )
    assert found["kit-fp32"]["ratios"] == {"faster-whisper-int8": {"median": 1.25, "min": 0.5, "max": 2}}


def heard(*texts: str) -> Heard:
    return Heard(1.0, list(texts))


SAID = ("one two three four", "five six seven", "eight nine", "ten", "eleven twelve")
JOB = Job(tuple(Clip(Path("unread.wav"), text, 2.0) for text in SAID))


def test_a_recording_that_one_does_not_write_whole_is_not_measured() -> None:
    stops_early = heard("One.", *SAID[1:])
    measured, unfit = speeds.whole(JOB, {"kit-fp32": heard(*SAID), "faster-whisper-fp32": stops_early})
    assert [clip.text for clip in measured.clips] == list(SAID[1:])
    assert unfit == []


def test_a_loop_is_not_whole() -> None:
    measured, _ = speeds.whole(JOB, {"kit-fp32": heard(*SAID[:4], "eleven " * 9)})
    assert [clip.text for clip in measured.clips] == list(SAID[:4])


def test_a_contender_that_fails_often_has_no_say_and_no_ratios() -> None:
    measured, unfit = speeds.whole(JOB, {"kit-fp32": heard(*SAID), "onnx-asr": heard("", "", *SAID[2:])})
    assert (measured, unfit) == (JOB, ["onnx-asr"])
    found = comparison()
    found["one_caller"]["unfit"] = ["kit-fp32"]
    text = page(PAGE.read_text(encoding="utf-8"), {"comparison": found})
    assert "| **this kit**, fp32 | 25.0 | 20.0 to 30.0 |  |  |  | 1.25 |" in text
    assert "many of its texts stop early or loop: **this kit**, fp32." in text


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no recording is transcribed whole by all contenders; unfit: onnx-asr"):
        speeds.whole(JOB, {"onnx-asr": heard("", "", "", "", "")})


def test_clips_are_spread_by_length() -> None:
    prompts = [prompt(seconds, "") for seconds in (1, 1.1, 1.2, 1.3, 4, 15, 16)]
    assert [one.seconds for one in spread_by_length(prompts, 3)] == [1, 4, 16]


def test_joined_prompts_are_where_they_are_said_to_be_and_come_again() -> None:
    prompts = [prompt(1, "one"), prompt(2, "two")]
    joined = join(prompts, 8, "any", (0.5, 0.5))
    assert len(joined.samples) >= 8 * RATE
    assert sorted(joined.text.split()[:2]) == ["one", "two"]
    for one, start_s in zip(joined.prompts, joined.starts_s, strict=True):
        start = round(start_s * RATE)
        assert (joined.samples[start : start + len(one.samples)] == one.samples).all()
        assert abs(joined.samples[start - 1]) < 0.01


@pytest.fixture
def seen() -> Seen:
    first = Segment([(1.5, 1, 0), (2.0, 2, 1)], "One two, three.", 3.5)
    return Seen(segments=[first, Segment([], "Other four", 6.0)])


def test_lags_count_from_the_words_that_both_heard(seen: Seen) -> None:
    words = [Placed("one", 0.5, 1.0), Placed("two", 1.0, 1.5), Placed("three", 2.0, 2.5), Placed("four", 4.0, 5.0)]
    found = live.lags([(words, seen)])
    assert found["words"] == 4
    assert found["first_partial_p50_s"] == 1.0  # 1.5 - 0.5; the other segment had no partial result
    assert found["word_shown_p50_s"] == 0.75  # of 0.5, 0.5, 1, 1
    assert found["word_stable_p50_s"] == 1.0  # of 1, 2, 1, 1
    assert found["final_p95_s"] == 1.0


def test_a_word_that_was_heard_otherwise_has_no_lag(seen: Seen) -> None:
    assert live.lags([([Placed("nothing", 0.0, 9.0)], seen)])["words"] == 0

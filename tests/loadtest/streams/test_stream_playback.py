"""The pieces of one live stream and its lags, by a fake clock."""

import io

import numpy as np
import pytest
import soundfile
from asr_client import StreamResult, Word
from asr_loadtest.errors import InvalidProfile, NotReady
from asr_loadtest.recordings import Recording
from asr_loadtest.streams.playback import Pace, Playback, Script, scripts
from recordings import recording

PACE = Pace(chunk_s=0.32, after_s=0.16, endpoint_s=0.8)
SECOND = Script(bytes(2 * 8000), 8000, 1)


class FakeClock:
    """A fake clock, whose time passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def flac(samples: np.ndarray, rate: int) -> Recording:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC")
    return Recording("speech.flac", file.getvalue(), len(samples) / rate)


def partial(seconds: float) -> StreamResult:
    return StreamResult("some words", is_final=False, stable="some", seconds=seconds)


def test_the_pace_is_what_the_model_says():
    parameters = {"chunk_seconds": "0.32", "after_seconds": "0.16", "endpoint_seconds": "0.8", "max_streams": "16"}
    assert Pace.of(parameters) == PACE
    with pytest.raises(NotReady, match="chunk_seconds"):
        Pace.of({"acoustic": "acoustic"})


@pytest.mark.parametrize(("received_s", "begin_s"), [(0.1, 0.0), (0.48, 0.0), (0.79, 0.0), (0.8, 0.32), (1.2, 0.64)])
def test_the_newest_chunk_begins_where_the_grid_has_it(received_s: float, begin_s: float):
    assert PACE.chunk_begin_s(received_s) == pytest.approx(begin_s)


def test_a_script_holds_all_samples_and_the_silence_that_ends_the_segment():
    samples = (np.arange(2 * 11025, dtype=np.int16).reshape(-1, 2) % 1000) + 1
    ((_, made),) = scripts([flac(samples, 11025)], PACE)
    assert (made.sampling_rate, made.channels) == (11025, 2)
    said = np.frombuffer(made.pcm, "<i2").reshape(-1, 2)
    assert np.array_equal(said[: len(samples)], samples)
    assert not said[len(samples) :].any()
    assert made.seconds == pytest.approx(len(samples) / 11025 + 1.5, abs=1e-3)
    assert b"".join(piece for _, piece in made.pieces()) == made.pcm
    dues = [due_s for due_s, _ in made.pieces()]
    assert np.allclose(np.diff(dues), 0.1, atol=1e-3)
    assert dues[0] == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(("name", "seconds"), [("mp3 vbr without xing", 5.4), ("wav gsm", 5.32), ("m4a", 5.32)])
def test_a_script_is_what_is_there_and_not_what_a_header_says(name: str, seconds: float):
    ((_, made),) = scripts([Recording(name, recording(name), None)], PACE)
    assert made.seconds == pytest.approx(seconds + 1.5, abs=0.02)


def test_what_only_the_server_reads_is_left_out():
    memo = Recording("memo.m4a", b"\0\0\0\x20ftypM4A " + bytes(100), None)
    speech = flac(np.ones(8000, np.int16), 8000)
    assert [kept for kept, _ in scripts([memo, speech], PACE)] == [speech]
    with pytest.raises(InvalidProfile, match=r"no live streams can be made of memo\.m4a; needs a format"):
        scripts([memo], PACE)


def test_pieces_are_sent_when_they_have_been_spoken():
    clock = FakeClock()
    playback = Playback(SECOND, PACE, clock)
    pieces = []
    for piece in playback.pieces(clock.sleep):
        pieces.append((clock.now - 100, piece))
        clock.sleep(0.03)  # until the answer
    assert [at_s for at_s, _ in pieces] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert b"".join(piece for _, piece in pieces) == SECOND.pcm
    assert playback.is_whole
    assert [piece.answered_s - piece.due_s for piece in playback.sent] == pytest.approx([0.03] * 10)
    assert [piece.late_s for piece in playback.sent] == pytest.approx([0.0] * 10)


def test_the_speaker_does_not_wait_for_a_server_that_stalls():
    clock = FakeClock()
    playback = Playback(SECOND, PACE, clock)
    for number, _ in enumerate(playback.pieces(clock.sleep)):
        clock.sleep(0.45 if number == 2 else 0.0)
    # The fourth is due at 0.4 s and goes out with the answer to the third; those after it catch up.
    assert [piece.sent_s for piece in playback.sent[3:8]] == pytest.approx([0.75, 0.75, 0.75, 0.75, 0.8])
    # The server's delay is not the sender's.
    assert max(piece.late_s for piece in playback.sent) == pytest.approx(0.0)


def test_a_stream_that_is_left_early_is_not_whole():
    clock = FakeClock()
    playback = Playback(SECOND, PACE, clock)
    next(playback.pieces(clock.sleep))
    assert not playback.is_whole


def test_the_lag_of_a_partial_result_is_from_the_oldest_sample_that_is_new():
    clock = FakeClock()
    playback = Playback(SECOND, PACE, clock)
    clock.sleep(0.9)
    assert playback.hear(partial(0.8)) == pytest.approx(0.9 - 0.32)
    assert [(lag.at_s, lag.seconds) for lag in playback.partials] == [pytest.approx((0.9, 0.58))]


def test_the_lag_of_a_final_result_is_from_the_end_of_its_last_word():
    clock = FakeClock()
    playback = Playback(SECOND, PACE, clock)
    clock.sleep(3.0)
    words = (Word("one", 0.2, 0.5, 1.0), Word("two", 0.6, 1.1, 1.0))
    assert playback.hear(StreamResult("one two", True, "one two", 2.9, 0.0, 2.0, 1.0, words)) == pytest.approx(1.9)
    assert playback.hear(StreamResult("noise", True, "noise", 2.9, 2.0, 2.5, 1.0)) == pytest.approx(0.5)
    assert playback.text == "one two noise"

"""Frames in which nobody speaks become silence; the words beside them stay words."""

from dataclasses import replace

import numpy as np
import pytest
from asr_contract.errors import RequestError
from asr_contract.parameters import DecodeOptions
from asr_serving.ctc.decoding import Decoder
from asr_serving.ctc.hushing import hush

from tests.serving.ctc.test_greedy import LABELS, path

STRIDE = LABELS.stride_samples


def spans(spoken: str) -> list[tuple[int, int]]:
    """The spans of speech that `spoken` draws: "xx..x" has speech in its first two frames and in its last."""
    edges = np.flatnonzero(np.diff([False, *(mark == "x" for mark in spoken), False]))
    first = (LABELS.receptive_field_samples - STRIDE) // 2  # samples before the first frame
    return [
        (int(start) * STRIDE + first, int(end) * STRIDE + first)
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]


def said(columns: str, spoken: str) -> str:
    hushed = hush(path(columns), spans(spoken), LABELS)
    return "".join("-|ABC"[column] for column in hushed.argmax(axis=1))


@pytest.mark.parametrize(
    ("columns", "spoken", "heard"),
    [
        ("AB-C", "xxxx", "AB-C"),
        ("AB-C", "....", "----"),
        ("AB-C", "xx..", "AB--"),
        ("CAB", ".xx", "-AB"),
        ("A-C-B", "xx.xx", "A-|-B"),  # two words, although the model says so nowhere
        ("A-|-B", "xx.xx", "A-|-B"),
        ("A|C|B", "x...x", "A|--B"),  # one delimiter is enough
        ("A|C-B", "xx.xx", "A|--B"),
        ("A-C|B", "xx.xx", "A--|B"),
        ("A-C---A", "xx.x.xx", "A-|---A"),  # two gaps between two words
        ("AC-C", "x...", "A---"),  # nothing follows
        ("C-A-B", "..xxx", "--A-B"),
    ],
)
def test_what_is_outside_the_speech_is_not_heard(columns: str, spoken: str, heard: str) -> None:
    assert said(columns, spoken) == heard


def test_labels_without_a_delimiter_have_none() -> None:
    hushed = hush(path("A-C-B"), spans("xx.xx"), replace(LABELS, delimiter=None))
    assert hushed.argmax(axis=1).tolist() == [2, 0, 0, 0, 3]


def test_a_frame_that_speech_touches_is_heard() -> None:
    (start, end), *_ = spans(".x..")
    assert hush(path("ABCA"), [(start - 1, end + 1)], LABELS).argmax(axis=1).tolist() == [2, 3, 4, 0]


def test_speech_everywhere_changes_nothing() -> None:
    log_probs = path("AB-C")
    assert hush(log_probs, [(0, 10**6)], LABELS) is log_probs


def test_hushed_frames_are_certain_and_the_others_as_they_were() -> None:
    log_probs = path("AB-C")
    hushed = hush(log_probs, spans("xx.."), LABELS)
    np.testing.assert_array_equal(hushed[:2], log_probs[:2])
    np.testing.assert_array_equal(np.exp(hushed[2:]), [[1, 0, 0, 0, 0]] * 2)
    np.testing.assert_array_equal(log_probs, path("AB-C"))


EVERYTHING = DecodeOptions(vad=True, decoder="beam", nbest=3, hotwords="AB^100", word_timestamps=True)


@pytest.mark.parametrize("options", [DecodeOptions(vad=True), EVERYTHING])
def test_a_recording_without_speech_has_no_text_whatever_the_request_asks_for(options: DecodeOptions) -> None:
    decoder = Decoder(LABELS)
    log_probs = path("AB|C" * 10)
    task = decoder.task(log_probs, len(log_probs), options, speech=np.array([0, 0], np.int32))
    (result,) = decoder.decode([task])
    assert (result.best.text, result.best.words) == ("", [])
    assert not any(one.text for one in result.alternatives[:1])


def test_without_vad_speech_is_not_looked_at() -> None:
    decoder = Decoder(LABELS)
    task = decoder.task(path("AB"), 2, DecodeOptions(), speech=np.array([0, 0], np.int32))
    assert decoder.decode([task])[0].best.text == "AB"


def test_half_a_span_is_refused() -> None:
    with pytest.raises(RequestError, match="speech has 3 values; needs two for each span"):
        Decoder(LABELS).task(path("AB"), 2, DecodeOptions(vad=True), speech=np.array([0, 5, 9], np.int32))

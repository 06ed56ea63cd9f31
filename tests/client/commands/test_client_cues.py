"""Subtitles: transcripts cut into cues."""

import itertools
import re
from collections.abc import Sequence

import pytest
from asr_client import Transcription, Word, _columns
from asr_client._cues import SHORTEST_CUE_S, Cue, _cost, _groups, _runs, _Unit, _units, cues
from hypothesis import given, settings
from hypothesis import strategies as st

CHINESE = "六她们她在北京的天气很好、我们今天去公园玩吧。"
SENTENCE = (
    "Nuclear strategy had its origin in World War II when both sides used strategic bombing, "
    "the deliberate destruction of industrial and population centers from the air."
)


def words(*times: tuple[float, float]) -> Transcription:
    return heard(*((f"word{number}", start, end) for number, (start, end) in enumerate(times)))


def heard(*timed: tuple[str, float, float]) -> Transcription:
    said = tuple(Word(word, start, end, 1.0) for word, start, end in timed)
    return Transcription(" ".join(word.word for word in said), 1.0, max(word.end for word in said), said)


def spoken(text: str, *said: str, each_s: float = 0.25) -> Transcription:
    """Words, one after the other, in a transcript that has this text."""
    words = tuple(Word(word, number * each_s, (number + 1) * each_s, 1.0) for number, word in enumerate(said))
    return Transcription(text, 1.0, len(said) * each_s, words)


def times(found: Sequence[Cue]) -> list[tuple[float, float]]:
    return [(round(cue.start, 3), round(cue.end, 3)) for cue in found]


def test_text_without_words_is_one_cue() -> None:
    assert cues(Transcription("hello there", 1.0, 2.5)) == [Cue(0.0, 2.5, ("hello there",), "hello there")]


def test_a_pause_begins_a_cue() -> None:
    assert len(cues(words((0.0, 0.5), (0.6, 1.0), (1.7, 2.0)))) == 2


def test_a_short_cue_lasts_until_the_next_at_most() -> None:
    first, second = cues(words((0.0, 0.1), (0.8, 3.0)))
    assert (first.end, second.start) == (0.8, 0.8)


def test_lines_are_of_about_the_same_length() -> None:
    (cue,) = cues(Transcription("the quick brown fox jumps over the lazy dog today", 1.0, 3.0))
    assert cue.lines == ("the quick brown fox jumps", "over the lazy dog today")


def test_a_cue_ends_with_a_sentence_rather_than_within_one() -> None:
    text = "We went there by train in the morning. Nobody had told us that the museum was closed all day."
    found = cues(spoken(text, *text.split()))
    assert [cue.text for cue in found] == [
        "We went there by train in the morning.",
        "Nobody had told us that the museum was closed all day.",
    ]


@pytest.mark.parametrize("end", [".", "!”", "?)", "。", "\N{FULLWIDTH EXCLAMATION MARK}」", "…", "؟", "।"])
def test_a_sentence_ends_in_any_script(end: str) -> None:
    said = ["seven", "words", "are", "the", "first", "sentence", f"here{end}", *["and", "eleven", "more"] * 4]
    assert [cue.text.endswith(end) for cue in cues(spoken(" ".join(said), *said))] == [True, False]


def test_a_cue_ends_with_a_clause_rather_than_within_one() -> None:
    found = cues(Transcription(SENTENCE, 1.0, 9.0))
    assert [cue.text for cue in found] == [
        "Nuclear strategy had its origin in World War",
        "II when both sides used strategic bombing,",
        "the deliberate destruction of industrial and population centers from the air.",
    ]


def test_cues_without_punctuation_are_of_similar_length() -> None:
    said = ["word"] * 20  # 99 columns
    assert [len(cue.text) for cue in cues(spoken(" ".join(said), *said))] == [49, 49]


def test_a_word_of_the_next_cue_is_not_left_alone_for_an_instant() -> None:
    # 86 columns: as full as it can be, the first cue would leave the last word, which ends 0.1 s later.
    said = ["fifteen columns"[:14]] * 5 + ["fortunately"]
    found = cues(spoken(" ".join(said), *said, each_s=0.4))
    assert len(found) == 2
    assert all(cue.end - cue.start >= 1 for cue in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("六她 们", ["六", "她", "们"]),  # spaces are the text's own
        ("I don't", ["I", "do", "n't"]),
        ("用 Python写", ["用", "Python", "写"]),
        ("สวัสดีครับ", ["สวัสดี", "ครับ"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("hello there world", ["hello there", "world"]),  # segments
        ("Hello, world.", [" Hello,", " world."]),  # the words of Whisper's tokenizer
    ],
)
def test_spaces_are_those_of_the_text(text: str, said: list[str]) -> None:
    (cue,) = cues(spoken(text, *said))
    assert cue.text == " ".join(cue.lines) == text


def test_words_that_are_not_the_text_s_own_are_joined_as_their_scripts_are() -> None:
    (cue,) = cues(spoken("something else", "六", "她们", "OK", "now", "、", "はい"))
    assert cue.text == "六她们 OK now 、はい"


def test_a_long_segment_is_several_cues_that_share_its_time() -> None:
    found = cues(Transcription(SENTENCE, 1.0, 16.5))
    assert " ".join(cue.text for cue in found) == SENTENCE
    assert (len(found), found[0].start, found[-1].end) == (3, 0, 16.5)
    letter_s = 16.5 / len(SENTENCE.replace(" ", ""))
    for cue, following in itertools.pairwise(found):
        before = SENTENCE[: SENTENCE.index(following.text)].replace(" ", "")
        assert cue.end == following.start == pytest.approx(len(before) * letter_s)


def test_a_long_segment_without_spaces_is_cut_at_characters() -> None:
    found = cues(Transcription(CHINESE * 4, 1.0, 23.0))  # 4 characters a second
    assert "".join(cue.text for cue in found) == CHINESE * 4
    assert [cue.end - cue.start <= 7 for cue in found] == [True] * 4
    assert found[1].start == pytest.approx(len(found[0].text) / 4)


def test_segments_that_fit_are_not_cut() -> None:
    found = cues(heard(("One two three four five six seven.", 0.0, 4.0), ("Eight nine ten.", 4.0, 8.0)))
    assert [cue.text for cue in found] == ["One two three four five six seven.", "Eight nine ten."]
    assert times(found) == [(0, 4), (4, 8)]


def test_a_word_longer_than_a_line_is_cut() -> None:
    (cue,) = cues(Transcription("x" * 50 + " y", 1.0, 3.0))
    assert cue.lines == ("x" * 42, "x" * 8 + " y")


def test_a_word_longer_than_the_screen_is_several_cues() -> None:
    first, second = cues(Transcription("x" * 100, 1.0, 5.0))
    assert (first.lines, second.lines) == (("x" * 42,), ("x" * 42, "x" * 16))
    assert first.end == second.start == pytest.approx(5.0 * 42 / 100)


@pytest.mark.parametrize("said", ["Thank you.", "Hmm"])
def test_little_text_in_a_long_time_goes_after_7_s(said: str) -> None:
    found = cues(heard((said, 3.0, 33.0), ("Next.", 33.0, 34.0)))
    assert [cue.text for cue in found] == [said, "Next."]
    assert times(found) == [(3, 10), (33, 34)]


def test_thai_breaks_where_its_words_end() -> None:
    said = ["ภาษาไทย"] * 12  # 7 letters in 6 columns, of which 6 fill a line but for 6 columns
    (cue,) = cues(spoken("".join(said), *said, each_s=0.5))
    assert all(set(line.split("ภาษาไทย")) == {""} for line in cue.lines)
    assert len(cue.lines) == 2


def test_words_said_at_one_time_follow_each_other() -> None:
    alike = [("word" * 10, 5.0, 5.0)] * 5  # 205 columns
    found = cues(heard(*alike, ("later", 9.0, 9.5)))
    starts = [cue.start for cue in found]
    assert starts == pytest.approx([5.0, 5.0 + SHORTEST_CUE_S, 5.0 + 2 * SHORTEST_CUE_S, 9.0])
    assert all(cue.end - cue.start >= SHORTEST_CUE_S - 1e-9 for cue in found)


def test_a_cue_never_begins_before_the_one_before() -> None:
    full = " ".join(["seven_7"] * 10)  # 79 columns
    found = cues(heard((full, 61.6, 65.0), (full, 59.2, 66.0), ("third", 68.0, 69.0)))
    assert [cue.text for cue in found] == [full, full, "third"]
    assert times(found) == [(61.6, 61.7), (61.7, 66.0), (68.0, 69.0)]


def test_a_gap_within_a_segment_s_words_ends_the_cue() -> None:
    found = cues(heard(("From", 824.8, 825.4), ("now", 889.0, 889.5), ("on,", 889.5, 890.1)))
    assert times(found) == [(824.8, 825.8), (889.0, 890.1)]


CLUSTERS = ["a", "b", ".", ",", "六", "她", "。", "「", "」", "ー", "っ", "e\u0301", "ส่", "สิ", "नि", "가"]
CLUSTERS += ["👍🏽", "🇨🇭", "👨\u200d👩\u200d👧", "ש", "0"]
CLUSTER = re.compile("|".join(sorted(map(re.escape, CLUSTERS), key=len, reverse=True)))
said_words = st.lists(st.sampled_from([*CLUSTERS, " ", "\u3000"]), max_size=120).map("".join)
a_time = st.floats(0, 60) | st.sampled_from([0.0, 1.0, 30.0])


@settings(deadline=None)
@given(st.lists(st.tuples(said_words, a_time, a_time), max_size=30), st.sampled_from(["", " ", "x"]))
def test_cues_fit_the_screen_whatever_is_said_and_whenever(said: list[tuple[str, float, float]], between: str) -> None:
    words = tuple(Word(*word, 1.0) for word in said)
    text = between.join(word.word for word in words)
    found = cues(Transcription(text, 1.0, 60.0, words))
    for cue in found:
        assert 1 <= len(cue.lines) <= 2
        assert all(line and _columns.width(line) <= 42 for line in cue.lines)
        assert all("".join(CLUSTER.findall(line)) == re.sub(r"[\sx]", "", line) for line in cue.lines)
        assert cue.start < cue.end <= cue.start + 7
    for cue, following in itertools.pairwise(found):
        assert cue.end <= following.start
        assert cue.end - cue.start >= 1 - 1e-9 or cue.end == following.start
    shown = "".join(line for cue in found for line in cue.lines)
    letters = "".join(word.word for word in words) if any(word.word.strip() for word in words) else text
    assert "".join(shown.split()) == "".join(letters.split())


gaps = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0.01, 1), st.text("abcdef", min_size=1, max_size=20)), min_size=1, max_size=60
)


@settings(deadline=None)
@given(gaps)
def test_cues_show_each_word_when_it_is_said(gaps: list[tuple[float, float, str]]) -> None:
    now, timed = 0.0, []
    for gap, length, text in gaps:
        timed.append((text, now + gap, now + gap + length))
        now += gap + length
    remaining = iter(timed)
    for cue in cues(heard(*timed)):
        own = list(itertools.islice(remaining, len(cue.text.split())))
        assert cue.text == " ".join(cue.lines) == " ".join(text for text, _, _ in own)
        assert cue.start == pytest.approx(own[0][1])
        assert cue.end >= own[-1][2] - 1e-9
    assert not list(remaining)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a,", "bcdefghijk", "lmnop.", "q" * 30]), st.floats(0.05, 3)), max_size=9))
def test_no_other_cut_costs_less(said: list[tuple[str, float]]) -> None:
    now, timed = 0.0, []
    for text, length in said:
        timed.append(Word(text, now, now + length, 1.0))
        now += length
    (run,) = list(_runs(_units(" ".join(word.word for word in timed), timed))) or [[]]
    found = [len(group) for group in _groups(run)]
    possible = [cost(run, sizes) for sizes in partitions(len(run)) if fits(run, sizes)]
    assert cost(run, found) == pytest.approx(min(possible, default=0))


def partitions(total: int) -> list[list[int]]:
    """All ways to write a number as a sum of sizes."""
    if not total:
        return [[]]
    return [[size, *rest] for size in range(1, total + 1) for rest in partitions(total - size)]


def pieces(run: Sequence[_Unit], sizes: list[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise([0, *itertools.accumulate(sizes)]))


def cost(run: Sequence[_Unit], sizes: list[int]) -> float:
    return sum(_cost(run, first, end) for first, end in pieces(run, sizes))


def fits(run: Sequence[_Unit], sizes: list[int]) -> bool:
    return all(
        len(_columns.wrap(" ".join(unit.atom.text for unit in run[first:end]), 42)) <= 2
        and (end - first == 1 or run[end - 1].end - run[first].start <= 7)
        for first, end in pieces(run, sizes)
    )

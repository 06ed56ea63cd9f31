"""What several channels say, in the order of time."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from asr_client import Segment, Transcription, Word
from asr_client._turns import Turns, divided, merged
from hypothesis import given
from hypothesis import strategies as st


def said(*words: tuple[str, float, float], duration: float = 60.0) -> Transcription:
    """A channel, or a part of it: each word with its start and end."""
    spoken = tuple(Word(word, start, end, 1.0) for word, start, end in words)
    return divided(Transcription(" ".join(word.word for word in spoken), 1.0, duration, spoken))


def sentence(text: str, start: float, each_s: float = 0.3) -> list[tuple[str, float, float]]:
    return [(word, start + number * each_s, start + (number + 1) * each_s) for number, word in enumerate(text.split())]


def test_a_word_within_a_long_sentence_does_not_cut_it() -> None:
    left = said(*sentence("so I went to the bank and asked for the manager", 0.0))
    right = said(("yes", 1.1, 1.3))
    heard = merged([[left], [right]])
    assert heard.text == "so I went to the bank and asked for the manager\nyes"
    assert [word.word for word in heard.words] == heard.text.split()


def test_a_pause_ends_a_segment_and_another_speaker_a_turn() -> None:
    left = said(*sentence("hello there", 0.0), *sentence("are you still there", 2.0), *sentence("good", 8.0))
    right = said(*sentence("sorry yes I am", 5.0))
    assert merged([[left], [right]]).text == "hello there are you still there\nsorry yes I am\ngood"


def test_who_begins_first_comes_first() -> None:
    same = [said(("left", 1.0, 1.5)), said(("right", 1.0, 1.6)), said(("first", 0.5, 3.0))]
    assert [(segment.text, segment.speaker) for segment in merged([[part] for part in same]).segments] == [
        ("first", "2"),
        ("left", "0"),
        ("right", "1"),
    ]


def test_the_same_in_two_channels_is_one_speaker() -> None:
    mono = said(*sentence("hello there", 0.0), *sentence("good bye", 9.0))
    heard = merged([[mono], [mono]])
    assert heard.text == "hello there good bye"
    assert {word.speaker for word in heard.words} == {segment.speaker for segment in heard.segments} == {"0"}


def test_the_same_words_at_other_times_are_two_speakers() -> None:
    heard = merged([[said(("hello", 1.0, 1.5))], [said(("hello", 1.0, 1.6))]])
    assert heard.text == "hello\nhello"


def test_nobody_speaks() -> None:
    silence = Transcription("", 0.25, 5.0)
    heard = merged([[silence], [silence]])
    assert (heard.text, heard.words, heard.segments, heard.confidence, heard.duration) == ("", (), (), 0.25, 5.0)


def test_the_segments_of_a_whisper_stay_with_their_measures_and_words() -> None:
    segments = (Segment("One. Two.", 0.0, 2.0, 0.5, -0.25, 0.75, 0.125, 0.0), Segment("Three.", 6.0, 7.0, 0.5, -0.5))
    words = (Word(" One.", 0.0, 0.5, 0.5), Word(" Two.", 1.5, 2.0, 0.5), Word(" Three.", 6.0, 7.0, 0.5))
    left = Transcription("One. Two. Three.", 0.5, 9.0, words, "en", segments=segments)
    right = Transcription("Ja.", 0.5, 9.0, (), "de", segments=(Segment("Ja.", 4.0, 5.0, 0.5),))
    heard = merged([[left], [right]])
    assert heard.text == "One. Two.\nJa.\nThree."
    assert [segment.avg_logprob for segment in heard.segments] == [-0.25, None, -0.5]
    assert [word.word for word in heard.words] == [" One.", " Two.", " Three."]
    assert heard.language == "en"


def test_times_that_go_back_change_nobodys_own_order() -> None:
    segments = (Segment("one", 5.0, 6.0, 0.5), Segment("two", 3.0, 4.0, 0.5), Segment("three", 8.0, 9.0, 0.5))
    left = Transcription("one two three", 0.5, 9.0, segments=segments)
    right = Transcription("yes", 0.5, 9.0, segments=(Segment("yes", 4.0, 4.5, 0.5),))
    assert merged([[left], [right]]).text == "yes\none two three"
    halves = [replace(left, duration=1.0, segments=segments[:1]), replace(left, segments=segments[1:])]
    assert merged([halves, [right]]).text == "yes\none two three"


def test_without_spaces_where_the_script_has_none() -> None:
    left = said(("你", 0.0, 0.3), ("好", 0.3, 0.6), ("吗", 2.0, 2.3))
    assert merged([[left]]).text.replace(" ", "") == "你好吗"
    assert "\n" not in merged([[left]]).text


def test_a_silent_channel_holds_the_others_up_no_longer_than_it_lasts() -> None:
    turns = Turns(2)
    assert turns.add(0, said(("one", 1.0, 2.0), duration=10.0)) is None
    assert turns.add(0, said(("two", 11.0, 12.0), duration=20.0)) is None
    told = turns.end(1)
    assert told is not None
    assert told.text == "one two"


def test_a_channel_that_is_heard_again_says_nothing_twice() -> None:
    turns = Turns(1)
    first, second = said(("one", 1.0, 2.0), duration=10.0), said(("two", 11.0, 12.0), duration=20.0)
    told = [turns.add(0, part) for part in (first, first, second, first, second)]
    assert [part and part.text for part in told] == ["one", None, " two", None, None]


@st.composite
def channels(draw: st.DrawFn) -> list[list[Transcription]]:
    """Up to three channels, each of some parts, as of a long recording."""
    made = []
    for channel in range(draw(st.integers(1, 3))):
        now, parts = 0.0, []
        for _ in range(draw(st.integers(1, 4))):
            words = []
            for _ in range(draw(st.integers(0, 5))):
                now += draw(st.floats(0.0, 2.0))
                words.append((f"c{channel}w{len(words)}", now, now + 0.25))
                now += 0.25
            now += draw(st.floats(0.01, 3.0))
            parts.append(said(*words, duration=now))
        made.append(parts)
    return made


@given(channels(), st.integers(0, 1000))
def test_the_order_in_which_parts_come_changes_nothing(parts: Sequence[Sequence[Transcription]], seed: int) -> None:
    whole = merged(parts)
    turns, told = Turns(len(parts)), []
    left = [[*of_channel, None] for of_channel in parts]
    random = Random(seed)
    while any(left):
        channel = random.choice([number for number, rest in enumerate(left) if rest])
        part = left[channel].pop(0)
        told.append(turns.end(channel) if part is None else turns.add(channel, part))
    found = [part for part in told if part is not None]
    assert "".join(part.text for part in found) == whole.text
    assert [segment for part in found for segment in part.segments] == list(whole.segments)
    done = [part.duration for part in found]
    assert done == sorted(done)
    every = [word.word for of_channel in parts for part in of_channel for word in part.words]
    assert sorted(word.word for word in whole.words) == sorted(every)
    for speaker, of_channel in enumerate(parts):
        mine = [segment.text for segment in whole.segments if segment.speaker == str(speaker)]
        assert " ".join(mine).split() == [word.word for part in of_channel for word in part.words]


@pytest.mark.parametrize("text", ["one two", " one  two "])
def test_a_part_without_words_is_a_segment(text: str) -> None:
    heard = merged([[divided(Transcription(text, 0.5, 3.0))]])
    assert heard.text == text.strip()

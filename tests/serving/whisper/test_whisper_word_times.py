"""Word times of a window, on weights by which each token looks at a known place."""

from collections.abc import Sequence

import numpy as np
import pytest
from asr_serving.whisper.word_times import TextSegment, WordTime, word_times
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

PROMPT = 3  # tokens before <|notimestamps|>
POSITIONS = 1500
SECOND = 50  # positions


class Spoken:
    """A window as the decoder hears it: pieces of text, each with the second at which it ends."""

    def __init__(self, *segments: tuple[list[tuple[str, float]], float, float], seconds: float = 30.0) -> None:
        """Take segments: their pieces, start and end; and the length of the window's audio."""
        self.vocabulary = [piece for pieces, _, _ in segments for piece, _ in pieces]
        self.frames = round(100 * seconds)
        ends = [round(SECOND * end) for pieces, _, _ in segments for _, end in pieces]
        self.weights = np.full((2, PROMPT + len(ends) + 2, POSITIONS), 1e-5, np.float32)
        for row, (start, end) in enumerate(zip([0, *ends], [*ends, self.frames // 2], strict=True)):
            self.weights[:, PROMPT + row, start:end] = 1.0
        self.weights /= self.weights.sum(axis=-1, keepdims=True)
        self.segments = []
        first = 0
        for pieces, start_s, end_s in segments:
            tokens = list(range(first, first + len(pieces)))
            self.segments.append(TextSegment(tokens, [0.5] * len(tokens), start_s, end_s))
            first += len(pieces)

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.vocabulary[token] for token in tokens)

    def words(
        self, window_start_s: float = 0.0, spoken_until_s: float = 0.0, lag_s: float = 0.0
    ) -> list[list[WordTime]]:
        return word_times(
            self.weights,
            self.segments,
            prompt_tokens=PROMPT,
            frames=self.frames,
            decode=self.decode,
            language="en",
            window_start_s=window_start_s,
            spoken_until_s=spoken_until_s,
            lag_s=lag_s,
        )


def told(words: Sequence[WordTime]) -> list[tuple[str, float, float]]:
    return [(word.word, word.start, word.end) for word in words]


def test_words_follow_each_other() -> None:
    spoken = Spoken(([(" to", 0.2), (" mor", 0.4), ("row", 0.6), (",", 0.7), (" yes", 0.9)], 0.0, 1.0))
    assert [told(words) for words in spoken.words()] == [
        [(" to", 0.0, 0.2), (" morrow,", 0.2, 0.6), (" yes", 0.7, 0.9)]
    ]


def test_the_last_word_ends_before_the_audio() -> None:
    """transformers gave the last token the time of the one before; without `num_frames`, the end of the padding."""
    spoken = Spoken(([(" the", 0.3), (" end", 0.8)], 0.0, 1.1), seconds=1.1)
    assert told(spoken.words()[0])[-1] == (" end", 0.3, 0.8)


def test_times_are_of_the_recording() -> None:
    spoken = Spoken(([(" a", 0.3), (" b", 0.6)], 60.0, 61.0))
    assert told(spoken.words(window_start_s=60.0, spoken_until_s=59.9)[0]) == [(" a", 60.0, 60.3), (" b", 60.3, 60.6)]


def test_the_lag_of_attention_is_taken_back() -> None:
    spoken = Spoken(([(" I", 0.06), (" am", 0.3), (" here", 0.6)], 60.0, 61.0))
    assert told(spoken.words(60.0, spoken_until_s=59.9, lag_s=0.08)[0]) == [
        (" I", 60.0, 60.0),  # no word begins before its window
        (" am", 60.0, 60.22),
        (" here", 60.22, 60.6),  # nor is attention late for the end
    ]


def test_a_negative_lag_goes_no_further_than_the_last_word() -> None:
    spoken = Spoken(([(" I", 0.3), (" am", 0.5), (".", 0.6)], 0.0, 0.6), seconds=0.8)
    assert told(spoken.words(lag_s=-0.15)[0]) == [(" I", 0.0, 0.45), (" am.", 0.45, 0.6)]


def test_confidence_is_that_of_the_spoken_tokens() -> None:
    spoken = Spoken(([(' "', 0.1), (" mor", 0.2), ("row", 0.3), (".", 0.4)], 0.0, 1.0))
    segment = TextSegment(spoken.segments[0].tokens, [0.1, 0.9, 0.7, 0.2], 0.0, 1.0)
    spoken.segments = [segment]
    (word,) = spoken.words()[0]
    assert (word.word, word.confidence) == (' " morrow.', pytest.approx(0.8))


def test_each_segment_has_its_own_words() -> None:
    """A segment that begins without a space once gave its words to the one before (openai-whisper, 1154)."""
    spoken = Spoken(
        ([(" one", 0.2), (" two", 0.4)], 0.0, 0.4),
        ([("three", 0.6), (" four", 0.8)], 0.4, 0.8),
        ([(" five", 1.0)], 0.8, 1.0),
    )
    assert [[word.word for word in words] for words in spoken.words()] == [
        [" one", " two"],
        ["three", " four"],
        [" five"],
    ]


def test_segments_without_text_have_no_words() -> None:
    """faster-whisper: IndexError, because its lists of segments and of alignments differed in length."""
    spoken = Spoken(([], 0.0, 0.2), ([(" a", 0.3), (" b", 0.6)], 0.2, 0.6), ([], 0.6, 0.6))
    assert [len(words) for words in spoken.words()] == [0, 2, 0]


def test_a_window_without_text_needs_no_weights() -> None:
    silent = Spoken(([], 0.0, 0.5))
    silent.weights = np.zeros((0, 0, 0), np.float32)
    assert silent.words() == [[]]
    silent.segments = []
    assert silent.words() == []


def test_blanks_are_no_words() -> None:
    spoken = Spoken(([(" ", 0.1), (" a", 0.3), (" ", 0.4)], 0.0, 1.0), ([(" ", 0.5)], 0.5, 1.0))
    assert [[word.word for word in words] for words in spoken.words()] == [["  a"], []]


def test_the_word_after_a_sentence_is_cut() -> None:
    steady = [(" a", 0.2), (" b", 0.4), (" c", 0.6), (".", 0.8), (" d", 5.0), (" e", 5.2)]
    assert told(Spoken((steady, 0.0, 6.0)).words()[0]) == [
        *[(" a", 0.0, 0.2), (" b", 0.2, 0.4), (" c.", 0.4, 0.6)],
        *[(" d", 4.6, 5.0), (" e", 5.0, 5.2)],  # 0.4 s: twice the median
    ]


def test_silence_at_the_start_is_not_the_first_word() -> None:
    spoken = Spoken(([(" a", 10.0), (" b", 10.2), (" c", 10.4), (" d", 10.6)], 9.8, 10.6))
    assert told(spoken.words()[0])[0] == (" a", 9.6, 10.0)


def test_a_long_second_word_gives_the_first_its_place() -> None:
    # The alignment puts the first word into the silence, and the second over the pause and both words.
    spoken = Spoken(([(" a", 3.0), (" b", 10.0), (" c", 10.2), (" d", 10.4), (" e", 10.6)], 9.4, 10.6))
    assert told(spoken.words()[0])[:2] == [(" a", 9.2, 9.6), (" b", 9.6, 10.0)]


def test_no_word_goes_through_the_silence_at_the_end() -> None:
    """One word of nearly 30 s: the segment's timestamp is right."""
    spoken = Spoken(([(" a", 0.2), (" b", 0.4), (" c", 0.6), (" d", 29.0)], 0.0, 1.0))
    assert told(spoken.words()[0])[-1] == (" d", 0.6, 1.0)


def test_a_word_without_a_place_has_no_length() -> None:
    spoken = Spoken(([(" a", 0.2), (" b", 0.4), (" and", 0.6), (" so", 0.6), (" on", 0.6)], 0.0, 0.6), seconds=0.6)
    words = spoken.words()[0]
    assert all(word.start <= word.end <= 0.6 for word in words)
    assert words[-1].end - words[-1].start <= 0.02


def test_a_window_begins_before_the_last_word_has_ended() -> None:
    """The next window begins at a timestamp, which the last word may pass by up to half a second."""
    spoken = Spoken(([(" a", 0.3), (" b", 0.6)], 60.0, 61.0))
    assert told(spoken.words(window_start_s=60.0, spoken_until_s=60.4)[0]) == [(" a", 60.4, 60.4), (" b", 60.4, 60.6)]


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_a_window_of_next_to_nothing(frames: int) -> None:
    spoken = Spoken(([(" you", 0.3), (".", 0.4)], 0.0, 0.0))
    spoken.frames = frames
    (word,) = spoken.words()[0]
    assert 0.0 <= word.start <= word.end <= frames / 100


random_segments = st.lists(
    st.tuples(
        st.lists(st.sampled_from([" a", "b", ".", ",", " ", ' "', " -", "?!"]), max_size=8),
        st.floats(0, 30),
        st.floats(0, 30),
    ),
    min_size=1,
    max_size=4,
)


def random_weights(seed: int, tokens: int) -> NDArray[np.float32]:
    weights = np.random.default_rng(seed).random((1, tokens, POSITIONS)).astype(np.float32) ** 8
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), np.float32)


@given(
    random_segments,
    st.integers(0, 2**32 - 1),
    st.integers(1, 3000),
    st.sampled_from([0.0, 17.3]),
    st.sampled_from([0.0, 0.08]),
)
def test_words_are_in_order_within_the_audio(
    segments: list[tuple[list[str], float, float]], seed: int, frames: int, window_start_s: float, lag_s: float
) -> None:
    """Whatever the timestamps say: also segments that end before they begin."""
    pieces = [([(text, 0.0) for text in texts], start, end) for texts, start, end in segments]
    spoken = Spoken(*pieces)
    spoken.frames = frames
    spoken.weights = random_weights(seed, spoken.weights.shape[1])
    found = spoken.words(window_start_s, spoken_until_s=window_start_s, lag_s=lag_s)
    assert ["".join(word.word for word in words).strip() for words in found] == [
        "".join(texts).strip() for texts, _, _ in segments
    ]
    times = [time for words in found for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(window_start_s <= time <= window_start_s + frames / 100 + 1e-9 for time in times)


def test_weights_of_other_tokens_are_refused() -> None:
    spoken = Spoken(([(" a", 0.3), (" b", 0.6)], 0.0, 1.0))
    spoken.weights = spoken.weights[:, 1:]
    with pytest.raises(ValueError, match=r"the shape \[2, 6, 1500\]; needs \[heads, 7 tokens, positions\]"):
        spoken.words()


def test_a_token_without_a_posterior_is_refused() -> None:
    spoken = Spoken(([(" a", 0.3)], 0.0, 1.0))
    spoken.segments = [TextSegment([0], [], 0.0, 1.0)]
    with pytest.raises(ValueError, match="0 posteriors for 1 tokens; needs one each"):
        spoken.words()

"""Alignment of tokens with audio, against transformers' functions, and on weights whose answer is known."""

import numpy as np
import pytest
import torch
from asr_serving.whisper.alignment import evidence, median_filter, token_positions, warp
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers.models.whisper.generation_whisper import _dynamic_time_warping, _median_filter

PROMPT = 3  # tokens before <|notimestamps|>
POSITIONS = 60  # of the weights; a recording may be shorter


def softmax_weights(seed: int, heads: int = 2, tokens: int = 9) -> NDArray[np.float32]:
    logits = np.random.default_rng(seed).normal(scale=3, size=(heads, tokens, POSITIONS))
    weights = np.exp(logits)
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def first_columns(matrix: NDArray[np.floating]) -> list[int]:
    """Where each row of a matrix begins on the way of the reference."""
    rows, columns = _dynamic_time_warping(matrix)
    return [int(columns[rows == row].min()) for row in range(len(matrix))]


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_way_is_the_references(rows: int, columns: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    assert warp(matrix).tolist() == first_columns(matrix)


@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_of_equal_ways_it_is_the_references(rows: int, columns: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).integers(-2, 3, size=(rows, columns)).astype(np.float32)
    assert warp(matrix).tolist() == first_columns(matrix)


def test_the_way_through_a_whole_window() -> None:
    plateaus = np.repeat(np.random.default_rng(0).normal(size=(40, 500)), 3, axis=1).astype(np.float32)
    assert warp(plateaus).tolist() == first_columns(plateaus)


@pytest.mark.parametrize(
    "cost", [np.zeros((0, 4)), np.zeros((4, 0)), np.zeros(4), np.array([[0.0, np.nan]]), np.array([[np.inf]])]
)
def test_a_matrix_without_a_way_is_refused(cost: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="needs a matrix of finite costs"):
        warp(cost)


@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.booleans())
def test_the_median_is_the_references(columns: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.integers(0, 3, size=(3, columns)) if ties else rng.normal(size=(3, columns))).astype(np.float32)
    expected = _median_filter(torch.from_numpy(values)[None], 7)[0].numpy()
    np.testing.assert_array_equal(median_filter(values), expected)


@pytest.mark.parametrize("frames", [2 * POSITIONS, 2 * POSITIONS - 1, 41, 9, 8, 7])
def test_evidence_is_that_of_attention_without_the_padding(frames: int) -> None:
    """The reference's steps (openai-whisper), in PyTorch and with its softmax over the audio alone."""
    weights = softmax_weights(frames)
    cropped = torch.from_numpy(weights).log()[:, :, : frames // 2].softmax(dim=-1)
    deviation, mean = torch.std_mean(cropped, dim=-2, keepdim=True, unbiased=False)
    expected = _median_filter((cropped - mean) / deviation, 7).mean(dim=0)[PROMPT:-1]
    np.testing.assert_allclose(evidence(weights, PROMPT, frames), expected.numpy(), atol=2e-4)


def diagonal(places: list[int], tokens: int) -> NDArray[np.float32]:
    """Weights by which the token after the prompt's end that predicts text token n looks at `places[n]`."""
    weights = np.full((1, tokens, POSITIONS), 1e-4, np.float32)
    for row, (start, end) in enumerate(zip(places, [*places[1:], POSITIONS], strict=True)):
        weights[0, PROMPT + row, start:end] = 1 / (end - start)
    return weights


def test_tokens_stand_where_attention_looks() -> None:
    # Rows: <|notimestamps|> looks at the first text token's audio, each text token at the next one's.
    places = [0, 10, 25, 31, 50]
    assert token_positions(diagonal(places, PROMPT + 6), PROMPT, 2 * POSITIONS).tolist() == places


def test_the_padding_after_the_audio_has_no_words() -> None:
    """transformers once aligned all 30 s: the words of a short recording stood at the end of the padding."""
    weights = diagonal([0, 10, 25], PROMPT + 4)
    weights[0, :, 40:] = 0.5  # of all tokens, most attention goes to the padding
    weights[0, PROMPT:-1, 59] = 0.9
    assert token_positions(weights, PROMPT, 80).tolist() == [0, 10, 25]


def test_more_tokens_than_positions() -> None:
    found = token_positions(softmax_weights(1, tokens=40), PROMPT, 10)
    assert found.tolist() == sorted(found.tolist())
    assert found[0] == 0
    assert found[-1] <= 4


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_a_window_of_one_position(frames: int) -> None:
    """CTranslate2 divides by zero here, and the process ends."""
    assert token_positions(softmax_weights(2), PROMPT, frames).tolist() == [0] * 5


def test_a_position_where_all_tokens_weigh_alike_says_nothing() -> None:
    """The reference divides 0 by 0, and every later position is not a number."""
    weights = softmax_weights(3)
    weights[0] = 1 / POSITIONS
    # The mean over two heads of which one says nothing: half of the other alone.
    np.testing.assert_allclose(
        evidence(weights, PROMPT, 2 * POSITIONS), evidence(weights[1:], PROMPT, 2 * POSITIONS) / 2, rtol=1e-6
    )


def test_a_token_that_looks_at_the_padding_alone() -> None:
    weights = softmax_weights(4)
    weights[:, PROMPT + 1, :20] = 0.0  # no attention for the 20 positions of audio: in half precision it is lost
    assert np.isfinite(evidence(weights, PROMPT, 40)).all()


def test_half_precision() -> None:
    weights = softmax_weights(5)
    np.testing.assert_allclose(
        evidence(weights.astype(np.float16), PROMPT, 2 * POSITIONS), evidence(weights, PROMPT, 2 * POSITIONS), atol=0.02
    )


@pytest.mark.parametrize("shape", [(0, 9, 60), (9, 60), (2, 4, 60)])
def test_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needs \[heads, 3 tokens of the prompt"):
        token_positions(np.ones(shape, np.float32), PROMPT, 10)


def test_more_audio_than_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="the window has 122 frames, 61 positions; the weights cover 60"):
        token_positions(softmax_weights(6), PROMPT, 122)


def test_weights_that_are_not_finite_are_refused() -> None:
    weights = softmax_weights(7)
    weights[1, 4, 2] = np.nan
    with pytest.raises(ValueError, match="weights of attention are not finite"):
        token_positions(weights, PROMPT, 2 * POSITIONS)

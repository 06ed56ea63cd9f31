"""Which tokens may come next, against transformers' logits processors."""

import numpy as np
import pytest
import torch
from asr_serving.whisper.settings import Settings
from asr_serving.whisper.token_rules import History, allow, log_softmax
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)

VOCAB, END, NO_TIMESTAMPS = 40, 20, 24
BEGIN = NO_TIMESTAMPS + 1


def settings(max_initial: int | None) -> Settings:
    return Settings(
        sampling_rate=16_000,
        n_fft=400,
        hop_length=160,
        window_samples=32_000,
        window_frames=200,
        vocab_size=VOCAB,
        max_positions=64,
        max_length=64,
        max_new_tokens=None,
        start=21,
        end=END,
        previous=22,
        no_timestamps=NO_TIMESTAMPS,
        suppress=[3, 21, 22, 23],
        begin_suppress=[5, END],
        max_initial_timestamp_index=max_initial,
        languages={},
        tasks={},
        language="en",
        task="transcribe",
        word_times=True,
        word_lag_s=0.0,
    )


written = st.lists(st.integers(0, VOCAB - 1), max_size=6)


@given(
    st.lists(written, min_size=1, max_size=4),
    st.sampled_from([None, 3]),
    st.booleans(),
    st.sampled_from([1.0, 6.0]),
    st.integers(0, 2**32 - 1),
)
def test_rows_of_a_batch_are_as_by_the_processors(
    rows: list[list[int]], max_initial: int | None, timestamps: bool, scale: float, seed: int
) -> None:
    facts = settings(max_initial)
    length = min(map(len, rows))
    tokens = np.array([row[:length] for row in rows]).reshape(len(rows), length)
    logits = np.random.default_rng(seed).normal(scale=scale, size=(len(rows), VOCAB)).astype(np.float32)
    history = History.empty(np.full(len(rows), timestamps))
    for column in range(length):
        history = history.append(tokens[:, column], facts)
    expected = by_transformers(tokens, logits, facts, timestamps)
    np.testing.assert_array_equal(allow(logits, history, facts), expected)


def test_rows_without_timestamps_share_a_batch_with_others() -> None:
    logits = np.random.default_rng(0).normal(size=(2, VOCAB)).astype(np.float32)
    scores = allow(logits, History.empty(np.array([True, False])), settings(None))
    assert np.isneginf(scores[0, :BEGIN]).all()
    assert np.isfinite(scores[1, :3]).all()


def test_log_softmax_of_scores_with_holes() -> None:
    scores = np.array([[0.0, -np.inf, np.log(3.0)]], np.float32)
    assert np.exp(log_softmax(scores))[0].tolist() == pytest.approx([0.25, 0.0, 0.75])


def by_transformers(tokens: np.ndarray, logits: np.ndarray, facts: Settings, timestamps: bool) -> np.ndarray:
    """One row at a time, as in `generate()` of one recording."""
    config = GenerationConfig(eos_token_id=END, no_timestamps_token_id=NO_TIMESTAMPS)
    if facts.max_initial_timestamp_index is not None:
        config.max_initial_timestamp_index = facts.max_initial_timestamp_index
    processors = [
        SuppressTokensAtBeginLogitsProcessor(facts.begin_suppress, begin_index=1),
        SuppressTokensLogitsProcessor(facts.suppress),
        *([WhisperTimeStampLogitsProcessor(config, begin_index=1)] if timestamps else []),
    ]
    rows = []
    for row, scores in zip(tokens, logits, strict=True):
        ids = torch.tensor([[facts.start, *row.tolist()]])
        values = torch.from_numpy(scores[None])
        for processor in processors:
            values = processor(ids, values)
        rows.append(values[0].numpy())
    return np.stack(rows)

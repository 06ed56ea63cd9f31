"""How a ragged batch is divided into runs."""

from asr_server.backends.onnxruntime.onnx_runs import MAX_PADDING, SHARED_RUN_ELEMENTS, divide
from hypothesis import given
from hypothesis import strategies as st


def test_long_items_run_alone_in_the_order_of_their_arrival() -> None:
    assert divide([160_000, 48_000, 320_000]) == [[0], [1], [2]]


def test_short_items_of_one_length_share_a_run() -> None:
    assert divide([8_000] * 6) == [[0, 1, 2, 3], [4, 5]]


def test_short_items_of_other_lengths_do_not() -> None:
    assert divide([2_000, 8_000, 2_000]) == [[0, 2], [1]]


@given(st.lists(st.integers(1, 2 * SHARED_RUN_ELEMENTS), min_size=1, max_size=40))
def test_every_item_is_in_one_run_and_shared_runs_are_small_and_hardly_padded(sizes: list[int]) -> None:
    runs = divide(sizes)
    assert sorted(index for run in runs for index in run) == list(range(len(sizes)))
    assert runs == sorted(map(sorted, runs))
    for run in runs:
        padded = len(run) * max(sizes[index] for index in run)
        if len(run) > 1:
            assert padded <= SHARED_RUN_ELEMENTS
            assert sum(sizes[index] for index in run) >= (1 - MAX_PADDING) * padded - 1e-6

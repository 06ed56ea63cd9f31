"""The stand-in backend without Triton and without ONNX Runtime: configuration checks, joining and splitting."""

from typing import Any

import numpy as np
import pytest
from asr_server.backends.onnxruntime import onnx_batch
from asr_server.backends.onnxruntime.onnx_batch import Config, ConfigError, GraphTensor, Plan

RAGGED_INPUTS = {"audio": GraphTensor("tensor(float)", (-1,)), "audio_shape": GraphTensor("tensor(int32)", (-1, 1))}
RAGGED_OUTPUTS = {"frames": GraphTensor("tensor(int32)", (-1, 1))}


def ragged_config(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "max_batch_size": 16,
        "input": [{"name": "audio", "data_type": "TYPE_FP32", "dims": [-1], "allow_ragged_batch": True}],
        "batch_input": [
            {
                "kind": "BATCH_ITEM_SHAPE",
                "target_name": ["audio_shape"],
                "data_type": "TYPE_INT32",
                "source_input": ["audio"],
            }
        ],
        "output": [{"name": "frames", "data_type": "TYPE_INT32", "dims": [1]}],
    }
    return {**config, **changes}


def ragged_plan(**changes: Any) -> Plan:
    return onnx_batch.plan(ragged_config(**changes), RAGGED_INPUTS, RAGGED_OUTPUTS)


def dense_plan(config: Config, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Plan:
    return onnx_batch.plan(
        config, {"x": GraphTensor("tensor(float)", input_shape)}, {"y": GraphTensor("tensor(float)", output_shape)}
    )


def dense_config(max_batch_size: int, input_dims: list[int], output_dims: list[int]) -> dict[str, Any]:
    return {
        "max_batch_size": max_batch_size,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": input_dims}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": output_dims}],
    }


def waves(*shapes: tuple[int, int]) -> list[dict[str, Any]]:
    """One request for each shape [rows, samples]; the samples count on through all of them."""
    total = 0
    requests = []
    for rows, samples in shapes:
        requests.append({"audio": np.arange(total, total + rows * samples, dtype=np.float32).reshape(rows, samples)})
        total += rows * samples
    return requests


def test_ragged_requests_are_joined_flat_with_one_shape_for_each_row() -> None:
    feed = onnx_batch.assemble(ragged_plan(), waves((1, 3), (2, 2), (1, 1)))
    np.testing.assert_array_equal(feed["audio"], np.arange(8, dtype=np.float32))
    np.testing.assert_array_equal(feed["audio_shape"], np.array([[3], [2], [2], [1]], np.int32))
    assert feed["audio_shape"].dtype == np.int32


def test_a_single_request_is_not_copied() -> None:
    (request,) = waves((1, 5))
    assert np.shares_memory(onnx_batch.assemble(ragged_plan(), [request])["audio"], request["audio"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BATCH_ITEM_SHAPE_FLATTEN", [3, 2, 2]),
        ("BATCH_ELEMENT_COUNT", [3, 4]),  # of each request, not of each row: as Triton's own backend
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [3, 7]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 3, 7]),
        ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", [0, 0, 0, 0]),
    ],
)
def test_other_kinds_of_batch_input(kind: str, expected: list[int]) -> None:
    entry = {"kind": kind, "target_name": ["info"], "data_type": "TYPE_FP32", "source_input": ["audio"]}
    inputs = {"audio": RAGGED_INPUTS["audio"], "info": GraphTensor("tensor(float)", (-1,))}
    plan = onnx_batch.plan(ragged_config(batch_input=[entry]), inputs, RAGGED_OUTPUTS)
    info = onnx_batch.assemble(plan, waves((1, 3), (2, 2)))["info"]
    assert (info.tolist(), info.dtype) == (expected, np.float32)


def test_dense_requests_are_joined_along_the_batch() -> None:
    plan = dense_plan(dense_config(8, [2], [2]), (-1, 2), (-1, 2))
    one, two = np.zeros((1, 2), np.float32), np.ones((2, 2), np.float32)
    feed = onnx_batch.assemble(plan, [{"x": one}, {"x": two}])
    np.testing.assert_array_equal(feed["x"], np.concatenate([one, two]))
    assert onnx_batch.row_counts(plan, [{"x": one}, {"x": two}]) == [1, 2]


def test_rows_of_ragged_requests_are_counted() -> None:
    assert onnx_batch.row_counts(ragged_plan(), waves((1, 3), (4, 2))) == [1, 4]


def test_split_hands_each_request_its_own_rows() -> None:
    parts = onnx_batch.split({"y": np.arange(8).reshape(4, 2)}, [1, 3])
    assert [part["y"].tolist() for part in parts] == [[[0, 1]], [[2, 3], [4, 5], [6, 7]]]


@pytest.mark.parametrize("shape", [(), (3,), (5, 1)])
def test_split_refuses_an_output_with_another_number_of_rows(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"'y' has the shape .*, but 4 row\(s\) went in"):
        onnx_batch.split({"y": np.zeros(shape)}, [1, 3])


def test_without_batching_dims_are_the_whole_shape() -> None:
    plan = dense_plan(dense_config(0, [3, -1], [1]), (3, -1), (1,))
    assert not plan.batching


def test_a_reshape_counts_as_the_shape() -> None:
    config = dense_config(8, [1], [1])
    config["input"][0]["reshape"] = {}  # to a scalar per item, which JSON writes as an empty object
    dense_plan(config, (-1,), (-1, 1))


def test_an_input_may_be_stricter_than_the_graph() -> None:
    dense_plan(dense_config(8, [80], [1]), (-1, -1), (-1, 1))


@pytest.mark.parametrize(
    ("config", "input_shape", "output_shape", "message"),
    [
        (dense_config(8, [80], [1]), (-1, 81), (-1, 1), r"'x' has the shape \[-1, 80\] .*\[-1, 81\] in the graph"),
        (dense_config(8, [-1], [1]), (-1, 80), (-1, 1), r"'x' has the shape \[-1, -1\] .*\[-1, 80\] in the graph"),
        (dense_config(8, [80], [1]), (4, 80), (-1, 1), r"the first is the batch.*\[4, 80\] in the graph"),
        (
            dense_config(8, [80], [-1]),
            (-1, 80),
            (-1, 1),
            r"output 'y' has the shape \[-1, -1\] .*\[-1, 1\] in the graph",
        ),
        (
            dense_config(8, [80], [1]),
            (-1, 80),
            (-1, -1),
            r"output 'y' has the shape \[-1, 1\] .*\[-1, -1\] in the graph",
        ),
        (dense_config(0, [80], [1]), (80, 1), (1,), r"'x' has the shape \[80\] in the configuration, \[80, 1\]"),
    ],
)
def test_shapes_that_do_not_fit_are_named_on_both_sides(
    config: Config, input_shape: tuple[int, ...], output_shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        dense_plan(config, input_shape, output_shape)


def entry(**changes: Any) -> list[dict[str, Any]]:
    return [{**ragged_config()["input"][0], **changes}]


def batch_entry(**changes: Any) -> list[dict[str, Any]]:
    return [{**ragged_config()["batch_input"][0], **changes}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"intra_op_threads": {"string_value": "1"}}}, "'intra_op_threads'.*'intra_op_thread_count'"),
        ({"batch_output": [{}]}, "does not support batch_output"),
        ({"sequence_batching": {"direct": {}}}, "does not support sequence_batching"),
        ({"output": []}, "has no output"),
        (
            {"output": [{"name": "text", "data_type": "TYPE_INT32", "dims": [1]}]},
            "'text' is not in the graph.*'frames'",
        ),
        ({"input": entry(name="wave")}, r"\['audio_shape', 'wave'\], the graph has \['audio', 'audio_shape'\]"),
        ({"input": entry(data_type="TYPE_FP16")}, r"TYPE_FP16 in the configuration, tensor\(float\) in the graph"),
        ({"input": entry(data_type="TYPE_STRING")}, "TYPE_STRING; the stand-in backend knows TYPE_BOOL"),
        ({"input": entry(optional=True)}, "'audio' is optional"),
        ({"batch_input": batch_entry(kind="BATCH_SOMETHING")}, "BATCH_SOMETHING is not supported; valid: .*ITEM_SHAPE"),
        ({"batch_input": batch_entry(data_type="TYPE_INT64")}, "TYPE_INT64 is not supported; valid: .*TYPE_INT32"),
        ({"batch_input": batch_entry(data_type="TYPE_FP32")}, r"TYPE_FP32 in the configuration, tensor\(int32\)"),
        ({"batch_input": batch_entry(source_input=["wave"])}, r"source_input 'wave'; the inputs are \['audio'\]"),
        ({"batch_input": batch_entry(kind="BATCH_ELEMENT_COUNT")}, r"has rank 1, in the graph \[-1, 1\]"),
        ({"max_batch_size": 0}, "needs a max_batch_size above 0"),
    ],
)
def test_what_cannot_be_served_is_refused_at_load(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ragged_plan(**changes)


def test_a_ragged_input_must_be_flat_in_the_graph() -> None:
    inputs = {**RAGGED_INPUTS, "audio": GraphTensor("tensor(float)", (-1, -1))}
    with pytest.raises(ConfigError, match=r"must take it as \[-1\], not \[-1, -1\]"):
        onnx_batch.plan(ragged_config(), inputs, RAGGED_OUTPUTS)


def parameters(**values: str) -> Config:
    return {"parameters": {key: {"string_value": value} for key, value in values.items()}}


def test_parameters_have_triton_s_defaults_and_spellings() -> None:
    assert onnx_batch.integer_parameter({}, "execution_mode", range(2)) == 0
    assert onnx_batch.integer_parameter(parameters(execution_mode="1"), "execution_mode", range(2)) == 1
    assert onnx_batch.bool_parameter({}, "enable_mem_arena") is None
    assert onnx_batch.bool_parameter(parameters(enable_mem_arena="0"), "enable_mem_arena") is False
    assert onnx_batch.bool_parameter(parameters(enable_mem_arena="True"), "enable_mem_arena") is True


def test_malformed_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match="execution_mode is 2; valid: 0 to 1"):
        onnx_batch.integer_parameter(parameters(execution_mode="2"), "execution_mode", range(2))
    with pytest.raises(ConfigError, match="'four', which is not an integer"):
        onnx_batch.integer_parameter(parameters(execution_mode="four"), "execution_mode", range(2))
    with pytest.raises(ConfigError, match="'maybe'; valid: true, false, 1, 0"):
        onnx_batch.bool_parameter(parameters(enable_mem_arena="maybe"), "enable_mem_arena")

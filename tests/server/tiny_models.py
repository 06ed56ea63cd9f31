"""Tiny model folders for Triton, written in milliseconds."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

RAGGED_CONFIG = """
name: "{name}"
backend: "onnxruntime"
max_batch_size: 16
input {{ name: "audio" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }}
batch_input {{
  kind: BATCH_ITEM_SHAPE target_name: "audio_shape" data_type: TYPE_INT32 source_input: "audio"
}}
output {{ name: "sums" data_type: TYPE_FP32 dims: [ 1 ] }}
output {{ name: "frames" data_type: TYPE_INT32 dims: [ 1 ] }}
dynamic_batching {{ max_queue_delay_microseconds: 20000 }}
instance_group {{ count: 1 kind: KIND_AUTO }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
"""

ECHO_CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 4
input {{ name: "x" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ -1 ] }}
instance_group {{ count: 1 kind: KIND_CPU }}
"""

ECHO_MODEL = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        arrays = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", array)]) for array in arrays]
"""


def add_ragged_sums(repository: Path, name: str = "sums", config: str = RAGGED_CONFIG) -> Path:
    """A model that sums each waveform of a ragged batch; its shapes are those of the acoustic model."""
    folder = _folder(repository, name, config)
    onnx.save(ragged_sums(), folder / "1" / "model.onnx")
    return folder


def add_echo(repository: Path, name: str = "echo", code: str = ECHO_MODEL) -> Path:
    """A model in Python, by default one that returns what it gets."""
    folder = _folder(repository, name, ECHO_CONFIG)
    (folder / "1" / "model.py").write_text(code)
    return folder


def ragged_sums() -> onnx.ModelProto:
    """audio [total] and audio_shape [n, 1] -> sums [n, 1] and frames [n, 1] (the lengths)."""
    nodes = [
        helper.make_node("CumSum", ["audio", "axis"], ["running"]),
        helper.make_node("Concat", ["zero", "running"], ["sum_before"], axis=0),
        helper.make_node("CumSum", ["audio_shape", "axis"], ["ends"]),
        helper.make_node("Sub", ["ends", "audio_shape"], ["starts"]),
        helper.make_node("Gather", ["sum_before", "ends"], ["sum_at_end"]),
        helper.make_node("Gather", ["sum_before", "starts"], ["sum_at_start"]),
        helper.make_node("Sub", ["sum_at_end", "sum_at_start"], ["sums"]),
        helper.make_node("Identity", ["audio_shape"], ["frames"]),
    ]
    return _model(
        nodes,
        inputs={"audio": (TensorProto.FLOAT, ["total"]), "audio_shape": (TensorProto.INT32, ["n", 1])},
        outputs={"sums": (TensorProto.FLOAT, ["n", 1]), "frames": (TensorProto.INT32, ["n", 1])},
        constants=[
            helper.make_tensor("axis", TensorProto.INT32, [], [0]),
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        ],
    )


def dense_double(batch: str | int = "n") -> onnx.ModelProto:
    """x [batch, 2] -> y [batch, 2] (twice x) and total [batch, 1]."""
    nodes = [
        helper.make_node("Add", ["x", "x"], ["y"]),
        helper.make_node("ReduceSum", ["x", "last"], ["total"], keepdims=1),
    ]
    return _model(
        nodes,
        inputs={"x": (TensorProto.FLOAT, [batch, 2])},
        outputs={"y": (TensorProto.FLOAT, [batch, 2]), "total": (TensorProto.FLOAT, [batch, 1])},
        constants=[helper.make_tensor("last", TensorProto.INT64, [1], [1])],
    )


def _folder(repository: Path, name: str, config: str) -> Path:
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config.format(name=name))
    return folder


def _model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[str | int]]],
    outputs: dict[str, tuple[int, list[str | int]]],
    constants: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
        [helper.make_tensor_value_info(name, *spec) for name, spec in outputs.items()],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

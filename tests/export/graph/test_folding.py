"""Constants are computed once, when a graph is exported, and the graph still says the same."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from asr_export.graph.folding import fold_constants, foldable
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """y = x * (a + a) + b, with b shared through an Identity, and something that nobody reads."""
    constant = helper.make_node("Constant", [], ["unread"], value=numpy_helper.from_array(np.ones(2, np.float32)))
    nodes = [
        constant,
        helper.make_node("Identity", ["weight"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Add", ["a", "a"], ["twice"]),
        helper.make_node("Cast", ["twice"], ["rounded"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "rounded"], ["scaled"]),
        helper.make_node("Add", ["scaled", "b"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "weight")
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:], [weight]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "g.onnx")
    return tmp_path / "g.onnx"


def run(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.array([[1, 1, 1], [5, 6, 7]], np.float32)})[0])


def test_folding_keeps_what_the_graph_computes(graph: Path) -> None:
    before = run(graph)
    assert len(foldable(onnx.load(graph).graph)) == 4
    fold_constants(graph)
    folded = onnx.load(graph)
    onnx.checker.check_model(folded, full_check=True)
    np.testing.assert_array_equal(run(graph), before)
    assert [node.op_type for node in folded.graph.node] == ["Mul", "Add"]
    assert {weight.name for weight in folded.graph.initializer} == {"weight", "rounded"}
    assert not foldable(folded.graph)


def test_an_output_that_is_constant_keeps_its_name(graph: Path) -> None:
    model = onnx.load(graph)
    model.graph.output.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [3]))
    onnx.save(model, graph)
    fold_constants(graph)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(["b"], {"x": np.ones((1, 3), np.float32)})[0], [1, 2, 3])


def test_a_graph_without_constants_stays_as_it_is(graph: Path) -> None:
    fold_constants(graph)
    before = onnx.load(graph)
    fold_constants(graph)
    assert onnx.load(graph) == before

"""The conditions of TensorRT that can be checked in a graph's file, without TensorRT and a GPU.

The operators, their types and most conditions come from onnx-tensorrt's `docs/operators.md` for TensorRT 10.15. Where
the table for 8.5 was stricter, this module follows it, so that the releases in between take the graph, too.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import GraphProto, NodeProto, TensorProto

from asr_export.errors import ExportError, GateError
from asr_export.graph.folding import foldable

_FLOAT = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_NUMBER = _FLOAT | {TensorProto.INT32, TensorProto.INT64}
_BOOL = frozenset({TensorProto.BOOL})
# Types -> the operators that take them. Some operators are left out on purpose, though onnx-tensorrt's table has some
# of them under conditions: CumSum (no integers), NonZero (its output's shape depends on data), ScatterND and
# ScatterElements, If, Loop, Scan, and operators that these graphs do not use. Compress, Unique and Sequence* are not in
# that table at all.
_TABLE = {
    _FLOAT: """
        BatchNormalization Ceil Clip Conv ConvTranspose Cos Einsum Elu Erf Exp Floor Gemm GlobalAveragePool HardSigmoid
        InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax MatMul MaxPool PRelu Reciprocal Round Selu
        Sigmoid Sin Softmax Softplus Sqrt Tanh
    """,
    _NUMBER: """
        Abs Add Div Equal Gelu Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Neg Pad Pow Range ReduceL2
        ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Sign Sub Sum
    """,
    _NUMBER | _BOOL: """
        Cast Concat Constant ConstantOfShape Expand Flatten Gather GatherElements Identity Reshape Shape Slice Split
        Squeeze Tile Transpose Unsqueeze Where
    """,
    _BOOL: "And Not Or Xor",
}
_TYPES = {operator: types for types, operators in _TABLE.items() for operator in operators.split()}
TENSORRT_OPERATORS = frozenset(_TYPES)

# Inputs that determine the shape of the output.
_REDUCTIONS = {operator: (1,) for operator in TENSORRT_OPERATORS if operator.startswith("Reduce")}
_SHAPE_INPUTS = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
    **_REDUCTIONS,
}
# Inputs that must be constants; it is not enough that the input shapes determine them.
_CONSTANT_INPUTS = {"Slice": (3, 4), "Split": (1,), "Squeeze": (1,), "Unsqueeze": (1,), **_REDUCTIONS}


def check_precision(precision: str) -> None:
    """Refuse a precision that cannot become an engine.

    Raises:
        ExportError: the precision is int8.
    """
    if precision == "int8":
        raise ExportError(
            "--precision int8 is for ONNX Runtime. TensorRT does not take its operators (MatMulInteger, "
            "DynamicQuantizeLinear); it needs QuantizeLinear and DequantizeLinear pairs with calibrated scales. With "
            "--platform tensorrt use fp32 or fp16"
        )


def check_tensorrt(path: Path) -> None:
    """Check the file of a graph for TensorRT.

    Every value must have a type and a rank. TensorRT must compute in every type, and no node may mix types (a strongly
    typed network takes them as they are). Operators must keep the table's conditions. No shape may depend on the values
    of an input. No node may depend only on constants.

    Args:
        path: an ONNX file. The check does not read weights beside it.

    Raises:
        GateError: a condition is broken; the message names the node and the reason.
    """
    model = onnx.load(path, load_external_data=False)
    try:
        types, ranks = _infer(model)
    except onnx.shape_inference.InferenceError as error:
        raise GateError(f"types and shapes cannot be inferred: {error}") from error
    _check_interface(model.graph, types)
    for node in model.graph.node:
        for reason in _problems(node, types, ranks):
            raise GateError(f"TensorRT would refuse {_label(node)}: {reason}")
    _check_constants(model.graph)
    _check_shapes(model.graph)


def _infer(model: onnx.ModelProto) -> tuple[dict[str, int], dict[str, int]]:
    """Return the type and the rank of every value, also of inputs and weights.

    Raises:
        InferenceError: the types or shapes of a node do not agree.
        GateError: a value has no type or rank.
    """
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    types = {weight.name: weight.data_type for weight in graph.initializer}
    ranks = {weight.name: len(weight.dims) for weight in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            types[value.name], ranks[value.name] = tensor.elem_type, len(tensor.shape.dim)
    for node in graph.node:
        for name in node.output:
            if name and not types.get(name):
                raise GateError(f"the shape inference finds no type and rank for {name}, which {_label(node)} makes")
    return types, ranks


def _check_interface(graph: GraphProto, types: dict[str, int]) -> None:
    for value in (*graph.input, *graph.output):
        if types[value.name] not in (TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64):
            raise GateError(
                f"{value.name} is {_type_name(types[value.name])}; inputs and outputs need FLOAT, INT32 or INT64"
            )


def _problems(node: NodeProto, types: dict[str, int], ranks: dict[str, int]) -> Iterator[str]:
    if node.op_type not in _TYPES or node.domain not in ("", "ai.onnx"):
        yield "the operator is not in the table of onnx-tensorrt"
        return
    for name in filter(None, node.input):
        if types[name] not in _NUMBER | _BOOL:
            yield f"{name} is {_type_name(types[name])}, a type that TensorRT does not compute in"
    for name in _data(node):
        if types[name] not in _TYPES[node.op_type]:
            yield f"{name} is {_type_name(types[name])}; {node.op_type} takes {_type_names(_TYPES[node.op_type])}"
    yield from _broken_conditions(node, ranks)


def _data(node: NodeProto) -> Iterator[str]:
    """Yield the values for which the table names types: data, not conditions, indices and shapes."""
    if node.op_type not in ("Constant", "ConstantOfShape"):
        yield node.input[1 if node.op_type == "Where" else 0]
    if node.op_type in ("Cast", "Constant", "ConstantOfShape"):
        yield node.output[0]


def _broken_conditions(node: NodeProto, ranks: dict[str, int]) -> Iterator[str]:
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "MaxPool" and (ranks[node.input[0]] < 4 or set(attributes.get("dilations", [1])) != {1}):
        yield "TensorRT pools in two or three dimensions only, without dilations"
    if node.op_type in ("MaxPool", "LayerNormalization") and any(node.output[1:]):
        yield "TensorRT makes only the first output"
    if node.op_type == "Einsum" and b"." in attributes["equation"]:
        yield "TensorRT takes no ellipsis in an equation"
    if node.op_type == "Constant" and not attributes.keys() & {"value", "value_float", "value_int"}:
        yield f"the constant has {', '.join(attributes)}; needs a tensor or a number"


def _check_constants(graph: GraphProto) -> None:
    """Raise if a node is left to fold, or if an input is not a constant although the table requires one."""
    left = foldable(graph)
    if left:
        raise GateError(f"{_label(left[0])} and {len(left) - 1} more nodes depend only on constants: fold them")
    constant = {weight.name for weight in graph.initializer}
    constant |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    for node in graph.node:
        for name in _inputs(node, _CONSTANT_INPUTS):
            if name not in constant:
                raise GateError(f"TensorRT would refuse {_label(node)}: {name} must be a constant")


def _check_shapes(graph: GraphProto) -> None:
    """Raise if a shape depends on the contents of the inputs; it may depend on their sizes."""
    # Value -> the graph's inputs on whose contents it depends.
    depends: dict[str, frozenset[str]] = {value.name: frozenset({value.name}) for value in graph.input}
    for node in graph.node:
        for name in _inputs(node, _SHAPE_INPUTS):
            if depends.get(name):
                raise GateError(
                    f"the output of {_label(node)} has a shape that depends on the values of "
                    f"{', '.join(sorted(depends[name]))}, through {name}"
                )
        if node.op_type != "Shape":
            sources = frozenset[str]().union(*(depends.get(name, frozenset()) for name in node.input))
            depends.update(dict.fromkeys(node.output, sources))


def _inputs(node: NodeProto, positions: dict[str, tuple[int, ...]]) -> list[str]:
    given = len(node.input)
    return [node.input[index] for index in positions.get(node.op_type, ()) if index < given and node.input[index]]


def _label(node: NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"


def _type_name(data_type: int) -> str:
    return str(TensorProto.DataType.Name(data_type))


def _type_names(types: frozenset[int]) -> str:
    return ", ".join(sorted(map(_type_name, types)))

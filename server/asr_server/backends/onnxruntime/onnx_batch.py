"""The part of the stand-in backend that needs no Triton: check a configuration, join requests, split the results.

It uses only numpy and dictionaries, so that tests need no server. The rules are those of Triton's own ONNX Runtime
backend. If this backend does not support something, it refuses the model at load time, never later.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Config = Mapping[str, Any]  # a model configuration as JSON, as Triton hands it to Python

ONNX_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
}
BATCH_INPUT_TYPES = {
    "TYPE_INT32": np.dtype(np.int32),
    "TYPE_FP32": np.dtype(np.float32),
}  # all that Triton allows

# All parameters of Triton's own backend, so that one configuration serves both. Triton's ignores any other key, even a
# misspelt one.
HONOURED_PARAMETERS = (
    "intra_op_thread_count",
    "inter_op_thread_count",
    "execution_mode",
    "enable_mem_arena",
    "enable_mem_pattern",
    "memory.enable_memory_arena_shrinkage",
    "session.use_device_allocator_for_initializers",
    # These configure the CUDA provider (onnx_cuda.py). On a CPU they have no effect, in both backends.
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
)
MEANINGLESS_PARAMETERS = ("share_session_between_instances",)  # our instances are processes, which cannot share one
# Fields of the configuration that change the behaviour of a model, and that this backend does not support.
UNSUPPORTED_FIELDS = ("batch_output", "sequence_batching", "model_operations")


class ConfigError(ValueError):
    """The configuration does not fit the graph, or this backend does not support it."""


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of the ONNX graph: its type as ONNX Runtime writes it, and its shape, -1 for dynamic sizes."""

    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class BatchInput:
    """A tensor that this backend computes from the shapes of an input, for a graph that takes that input flattened."""

    name: str
    source: str
    kind: str
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Plan:
    """The way in which requests become one call of the graph."""

    batching: bool  # False: max_batch_size is 0 and tensors carry no batch dimension
    dense: tuple[str, ...]
    ragged: tuple[str, ...]
    batch_inputs: tuple[BatchInput, ...]
    outputs: tuple[str, ...]


def plan(config: Config, inputs: Mapping[str, GraphTensor], outputs: Mapping[str, GraphTensor]) -> Plan:
    """Check a configuration against the graph and return how to run it.

    Raises:
        ConfigError: they do not fit, or this backend does not support the configuration.
    """
    check_fields(config)
    batching = int(config.get("max_batch_size", 0)) > 0
    batch_inputs = tuple(_batch_input(entry) for entry in config.get("batch_input", ()))
    given = config.get("input", ())
    expected = {entry["name"] for entry in given} | {batch_input.name for batch_input in batch_inputs}
    if expected != set(inputs):
        raise ConfigError(f"the configuration has the inputs {sorted(expected)}, the graph has {sorted(inputs)}")
    for entry in given:
        _check_input(entry, inputs[entry["name"]], batching)
    for batch_input, entry in zip(batch_inputs, config.get("batch_input", ()), strict=True):
        _check_batch_input(batch_input, entry["data_type"], inputs, {item["name"] for item in given}, batching)
    for entry in config.get("output", ()):
        _check_output(entry, outputs, batching)
    ragged = tuple(entry["name"] for entry in given if entry.get("allow_ragged_batch"))
    return Plan(
        batching=batching,
        dense=tuple(entry["name"] for entry in given if entry["name"] not in ragged),
        ragged=ragged,
        batch_inputs=batch_inputs,
        outputs=tuple(entry["name"] for entry in config["output"]),
    )


def check_fields(config: Config) -> None:
    """Refuse unknown parameters, and fields that this backend does not implement."""
    valid = HONOURED_PARAMETERS + MEANINGLESS_PARAMETERS
    if unknown := sorted(set(config.get("parameters", {})) - set(valid)):
        raise ConfigError(f"unknown parameters {unknown}; the ONNX Runtime backend knows {sorted(valid)}")
    for field in UNSUPPORTED_FIELDS:
        if config.get(field):
            raise ConfigError(f"the stand-in ONNX Runtime backend does not support {field}; Triton's own does")
    for field in ("input", "output"):
        if not config.get(field):
            raise ConfigError(f"the configuration has no {field}; write all inputs and outputs in full")


def parameter(config: Config, key: str) -> str | None:
    """Return the text of a parameter; None if it is not set."""
    entry = config.get("parameters", {}).get(key)
    return None if entry is None else str(entry["string_value"])


def integer_parameter(config: Config, key: str, valid: range) -> int:
    """Return an integer parameter; 0 if it is not set."""
    text = parameter(config, key) or "0"
    try:
        value = int(text)
    except ValueError:
        raise ConfigError(f"the parameter {key} is {text!r}, which is not an integer") from None
    if value not in valid:
        raise ConfigError(f"the parameter {key} is {value}; valid: {valid.start} to {valid.stop - 1}")
    return value


def bool_parameter(config: Config, key: str) -> bool | None:
    """Return a boolean parameter; None if it is not set."""
    text = parameter(config, key)
    if text is None:
        return None
    if text.lower() not in ("true", "1", "false", "0"):
        raise ConfigError(f"the parameter {key} is {text!r}; valid: true, false, 1, 0")
    return text.lower() in ("true", "1")


def _batch_input(entry: Config) -> BatchInput:
    kind, data_type = entry["kind"], entry["data_type"]
    if kind not in _BATCH_INPUT_VALUES:
        raise ConfigError(f"batch_input kind {kind} is not supported; valid: {sorted(_BATCH_INPUT_VALUES)}")
    if data_type not in BATCH_INPUT_TYPES:
        raise ConfigError(f"batch_input data_type {data_type} is not supported; valid: {sorted(BATCH_INPUT_TYPES)}")
    (name,), (source,) = entry["target_name"], entry["source_input"]
    return BatchInput(name, source, kind, BATCH_INPUT_TYPES[data_type])


def _check_input(entry: Config, graph: GraphTensor, batching: bool) -> None:
    name = f"input {entry['name']!r}"
    if entry.get("optional"):
        raise ConfigError(f"{name} is optional, which the stand-in ONNX Runtime backend does not support")
    _check_type(name, entry["data_type"], graph)
    if entry.get("allow_ragged_batch"):
        if graph.shape != (-1,):
            raise ConfigError(f"{name} is ragged, so the graph must take it as [-1], not {list(graph.shape)}")
        return
    dims = _dims(entry, batching)
    fits = len(dims) == len(graph.shape) and all(
        ours in (-1, theirs) for ours, theirs in zip(graph.shape, dims, strict=True)
    )
    _check_shape(name, fits, dims, graph, batching)


def _check_output(entry: Config, outputs: Mapping[str, GraphTensor], batching: bool) -> None:
    name = f"output {entry['name']!r}"
    if entry["name"] not in outputs:
        raise ConfigError(f"{name} is not in the graph, which has {sorted(outputs)}")
    graph = outputs[entry["name"]]
    _check_type(name, entry["data_type"], graph)
    dims = _dims(entry, batching)
    _check_shape(name, dims == graph.shape, dims, graph, batching)


def _check_batch_input(
    batch_input: BatchInput, data_type: str, inputs: Mapping[str, GraphTensor], given: set[str], batching: bool
) -> None:
    name = f"batch_input {batch_input.name!r}"
    if batch_input.source not in given:
        raise ConfigError(f"{name} has the source_input {batch_input.source!r}; the inputs are {sorted(given)}")
    if not batching:
        raise ConfigError(f"{name} needs a max_batch_size above 0")
    graph = inputs[batch_input.name]
    _check_type(name, data_type, graph)
    rank = 2 if batch_input.kind == "BATCH_ITEM_SHAPE" else 1
    if len(graph.shape) != rank:
        raise ConfigError(f"{name} of kind {batch_input.kind} has rank {rank}, in the graph {list(graph.shape)}")


def _check_type(name: str, data_type: str, graph: GraphTensor) -> None:
    if data_type not in ONNX_TYPES:
        raise ConfigError(f"{name} has data_type {data_type}; the stand-in backend knows {', '.join(ONNX_TYPES)}")
    if ONNX_TYPES[data_type] != graph.type:
        raise ConfigError(f"{name} has data_type {data_type} in the configuration, {graph.type} in the graph")


def _check_shape(name: str, fits: bool, dims: tuple[int, ...], graph: GraphTensor, batching: bool) -> None:
    if fits:
        return
    why = " (the first is the batch, from max_batch_size)" if batching else ""
    raise ConfigError(f"{name} has the shape {list(dims)} in the configuration{why}, {list(graph.shape)} in the graph")


def _dims(entry: Config, batching: bool) -> tuple[int, ...]:
    """Return the shape with the batch dimension. Triton applies a reshape before and after the backend."""
    dims = entry["reshape"].get("shape", ()) if "reshape" in entry else entry["dims"]
    return (*((-1,) if batching else ()), *(int(size) for size in dims))


def assemble(plan: Plan, requests: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Join the inputs of several requests into those of one call of the graph.

    Args:
        plan: as `plan` returns it.
        requests: for each request its inputs by name, each `[rows, …]`; only one request if there is no batching.

    Returns:
        Dense inputs `[all rows, …]`, ragged inputs flat `[all elements]`, and the batch inputs.
    """
    feed = {name: _joined([request[name] for request in requests]) for name in plan.dense}
    for name in plan.ragged:
        feed[name] = _joined([request[name].ravel() for request in requests])
    for batch_input in plan.batch_inputs:
        values = _BATCH_INPUT_VALUES[batch_input.kind]([request[batch_input.source].shape for request in requests])
        feed[batch_input.name] = values.astype(batch_input.dtype)
    return feed


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)  # one request needs no copy


def row_counts(plan: Plan, requests: Sequence[Mapping[str, Array]]) -> list[int]:
    """Return the number of rows of each request; Triton has checked that all of its inputs have the same number."""
    first = (plan.dense or plan.ragged)[0]
    return [len(request[first]) for request in requests]


def split(outputs: Mapping[str, Array], rows: Sequence[int]) -> list[dict[str, Array]]:
    """Cut outputs `[all rows, …]` into those of each request, `[rows, …]`, as views.

    Raises:
        ValueError: an output has another number of rows than the inputs; any split would be a guess.
    """
    total = sum(rows)
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != total:
            raise ValueError(f"output {name!r} has the shape {list(array.shape)}, but {total} row(s) went in")
    ends = np.cumsum(rows).tolist()
    return [
        {name: array[end - count : end] for name, array in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def _element_counts(shapes: Sequence[tuple[int, ...]]) -> Array:
    return np.array([int(np.prod(shape)) for shape in shapes])


def _item_shapes(shapes: Sequence[tuple[int, ...]]) -> Array:
    """Return one row per item, not per request: `[all rows, rank]`."""
    return np.concatenate([np.tile(np.array(shape[1:], np.int64), (shape[0], 1)) for shape in shapes])


# Kind of batch_input -> its values, from the shapes `[rows, …]` of its source in each request.
_BATCH_INPUT_VALUES: dict[str, Callable[[Sequence[tuple[int, ...]]], Array]] = {
    "BATCH_ELEMENT_COUNT": _element_counts,
    "BATCH_ACCUMULATED_ELEMENT_COUNT": lambda shapes: np.cumsum(_element_counts(shapes)),
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": lambda shapes: np.cumsum([0, *_element_counts(shapes)]),
    # Only the shape carries the value; Triton's own backend does not set the contents either.
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": lambda shapes: np.zeros(int(_element_counts(shapes).max())),
    "BATCH_ITEM_SHAPE": _item_shapes,
    "BATCH_ITEM_SHAPE_FLATTEN": lambda shapes: _item_shapes(shapes).ravel(),
}

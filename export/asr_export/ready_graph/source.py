"""A ready ONNX graph from any toolkit: its inputs and outputs, recognised by rank and type, not by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from asr_export.checkpoint.loading import sha256
from asr_export.errors import GraphError
from asr_export.graph.reading import data_files, read_model, standard_opset

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
_TYPE_NAMES = {
    number: onnx.helper.tensor_dtype_to_np_dtype(number).name for number in onnx.helper.get_all_tensor_dtypes()
}
# A graph of float16 is run with a cast at each end.
_SAMPLES = (TensorProto.FLOAT, TensorProto.FLOAT16)
_NEEDED_INPUTS = (
    "needs one waveform float32 or float16 [n, time] or [n, 1, time] and at most one number of samples int32 or int64 "
    "[n] or [n, 1], n and time dynamic"
)
_NEEDED_OUTPUTS = (
    "needs one float32 or float16 [n, frames, labels], its axes in any order, and at most one number of frames int32 "
    "or int64 [n] or [n, 1]"
)

Dims = tuple[int | str, ...]  # a name if dynamic


@dataclass(frozen=True)
class Tensor:
    """An input or output as the graph declares it."""

    name: str
    type: int  # of TensorProto
    dims: Dims | None  # None: not declared

    def __str__(self) -> str:
        shape = "of unknown shape" if self.dims is None else f"[{', '.join(map(str, self.dims))}]"
        return f"{self.name} {_TYPE_NAMES.get(self.type, 'no tensor')} {shape}"

    @property
    def rank(self) -> int:
        """Number of dimensions; -1 if the graph does not declare it."""
        return -1 if self.dims is None else len(self.dims)

    @property
    def is_one_per_item(self) -> bool:
        """Whether the tensor holds one integer per item: `[n]` or `[n, 1]`."""
        return self.type in _INTEGERS and (
            self.rank == 1 or (self.rank == 2 and self.dims is not None and self.dims[1] == 1)
        )


@dataclass(frozen=True)
class ForeignGraph:
    """A graph that the kit can wrap."""

    path: Path
    model: onnx.ModelProto  # without the weights in files beside the graph
    opset: int
    audio: Tensor
    samples: Tensor | None  # length of each item
    scores: Tensor
    frames: Tensor | None  # number of valid frames of each item

    def data_files(self) -> list[Path]:
        """Return the files beside the graph that hold its weights."""
        return data_files(self.model, self.path)

    def file_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of the graph and of its data files, by name."""
        return {path.name: sha256(path) for path in [self.path, *self.data_files()]}


def read(path: Path, labels: int, domains: tuple[str, ...] = ()) -> ForeignGraph:
    """Read a graph and recognise its inputs and outputs.

    Args:
        path: an ONNX file, perhaps with weights beside it.
        labels: number of labels; it identifies the output if the graph has several of rank 3.
        domains: of the operators that are accepted besides those of the ONNX standard.

    Raises:
        GraphError: the file is no graph, exceeds the limits of Triton, or has inputs or outputs that the kit cannot
            serve.
    """
    model = read_model(path, domains)
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    # Before IR 4, weights were also inputs, with a default value.
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    audio, samples = _choose_inputs([_tensor(value) for value in graph.input], path)
    scores, frames = _choose_outputs([_tensor(value) for value in graph.output], labels, path)
    return ForeignGraph(path, model, standard_opset(model), audio, samples, scores, frames)


def _choose_inputs(inputs: list[Tensor], path: Path) -> tuple[Tensor, Tensor | None]:
    has = f"{path} has the inputs {'; '.join(map(str, inputs))}"
    audio = [tensor for tensor in inputs if tensor.type in _FLOATS]
    for tensor in audio:
        if tensor.rank == 3 and tensor.dims is not None and tensor.dims[1] != 1:
            raise GraphError(
                f"{has}: {tensor.name} takes features such as mel bands ({tensor}), not samples; "
                f"{_NEEDED_INPUTS}: put the feature extraction into the graph"
            )
    samples = [tensor for tensor in inputs if tensor.is_one_per_item]
    if len(audio) != 1 or len(samples) > 1 or len(audio) + len(samples) != len(inputs):
        raise GraphError(f"{has}; {_NEEDED_INPUTS}; anything else must be fixed within the graph")
    (waveform,) = audio
    if waveform.type not in _SAMPLES or waveform.rank not in (2, 3):
        raise GraphError(f"{has}: {waveform.name} is {waveform}; {_NEEDED_INPUTS}")
    for tensor in inputs:
        dynamic = (0,) if tensor.is_one_per_item else (0, tensor.rank - 1)
        fixed = [axis for axis in dynamic if tensor.dims is not None and isinstance(tensor.dims[axis], int)]
        if fixed:
            what = " and ".join("batch" if axis == 0 else "time" for axis in fixed)
            raise GraphError(
                f"{has}: {tensor.name} has a fixed {what}; {_NEEDED_INPUTS} (dynamic_axes of torch.onnx.export)"
            )
    return waveform, next(iter(samples), None)


def _choose_outputs(outputs: list[Tensor], labels: int, path: Path) -> tuple[Tensor, Tensor | None]:
    has = f"{path} has the outputs {'; '.join(map(str, outputs))}"
    scores = [tensor for tensor in outputs if tensor.type in _SAMPLES and tensor.rank == 3]
    if len(scores) > 1:  # the graph also returns hidden states
        scores = [tensor for tensor in scores if tensor.dims and {labels, labels + 1} & set(tensor.dims)]
    frames = [tensor for tensor in outputs if tensor.is_one_per_item]
    if len(scores) != 1 or len(frames) > 1:
        raise GraphError(f"{has}; {_NEEDED_OUTPUTS} ({labels} labels)")
    return scores[0], next(iter(frames), None)


def _tensor(value: Any) -> Tensor:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return Tensor(value.name, tensor.elem_type, None)
    dims = (dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim)
    return Tensor(value.name, tensor.elem_type, tuple(dims))

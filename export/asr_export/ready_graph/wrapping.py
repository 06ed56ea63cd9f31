"""A ready graph -> a graph with the kit's own inputs and outputs; weights and operators stay as they are.

The parts before and after the graph are traced from PyTorch modules, as the kit's own graphs are, and joined to it.
"""

import shutil
import tempfile
from pathlib import Path

import onnx
import onnx.version_converter
import torch
from onnx import TensorProto, compose, helper
from torch import Tensor, nn

from asr_export.graph.trace import MAX_IR_VERSION, Quiet, finish
from asr_export.networks.parts.batch import BLOCK, pad_ragged
from asr_export.networks.waveform import normalize
from asr_export.ready_graph.behaviour import TINY, Behaviour, Values
from asr_export.ready_graph.source import ForeignGraph

# The newest opset that PyTorch's tracer writes; ONNX's converter brings the few operators of both parts to 21.
_TRACER_MAX_OPSET = 20
Shapes = dict[str, list[str | int]]  # by name; a dimension with a name is dynamic


class _Before(nn.Module):
    """The part before the graph: the kit's inputs -> those of the graph, plus the lengths if `_After` needs them."""

    def __init__(self, graph: ForeignGraph, normalizes: bool) -> None:
        super().__init__()
        self.graph = graph
        self.normalizes = normalizes

    @property
    def outputs(self) -> list[str]:
        """Names of the tensors that `forward` returns."""
        return [
            "waveforms",
            *(["given_lengths"] if self.graph.samples else []),
            *([] if self.graph.frames else ["lengths"]),
        ]

    def forward(self, audio: Tensor, audio_shape: Tensor | None = None) -> tuple[Tensor, ...]:
        if audio_shape is not None:
            waveforms, lengths = pad_ragged(audio, audio_shape)
        else:
            waveforms, lengths = audio, torch.ones_like(audio[:, 0], dtype=torch.int64) * audio.shape[1]
        if self.normalizes:
            waveforms = _normalize(waveforms, lengths)
        if self.graph.audio.type == TensorProto.FLOAT16:
            waveforms = waveforms.to(torch.float16)
        results = [waveforms[:, None] if self.graph.audio.rank == 3 else waveforms.clone()]
        if self.graph.samples is not None:
            given = lengths.to(torch.int32) if self.graph.samples.type == TensorProto.INT32 else lengths.clone()
            results.append(given[:, None] if self.graph.samples.rank == 2 else given)
        if self.graph.frames is None:
            results.append(lengths.clone())
        return tuple(results)


def _normalize(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Normalise waveforms of any width; the sums need whole blocks."""
    width = (waveforms.shape[1] + BLOCK - 1) // BLOCK * BLOCK
    padded = torch.cat([waveforms, torch.zeros_like(waveforms[:, :1]).expand(-1, BLOCK - 1)], dim=1)[:, :width]
    return normalize(padded, lengths)[:, : waveforms.shape[1]]


class _After(nn.Module):
    """The part after the graph: its scores -> log-probs `[n, frames, columns]` and frame counts int32 `[n, 1]`."""

    def __init__(self, behaviour: Behaviour, counted: bool) -> None:
        super().__init__()
        self.layout = behaviour.layout
        self.values: Values = behaviour.values
        self.rule = behaviour.rule
        self.counted = counted

    def forward(self, scores: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probs and frame counts.

        `lengths` holds frames `[n]` or `[n, 1]` if the graph counts them, else samples `[n]`.
        """
        rows = scores.permute(self.layout).to(torch.float32)
        if self.values == "probabilities":
            rows = torch.log(torch.maximum(rows, torch.tensor(TINY)))
        elif self.values == "logits":
            rows = torch.log_softmax(rows, dim=-1)
        else:
            rows = rows.clone()
        frames = lengths.reshape(-1, 1).to(torch.int64)
        if not self.counted:
            # It is never negative for a recording that the server accepts, so truncation equals floor.
            frames = torch.div(frames + self.rule.offset, self.rule.stride, rounding_mode="trunc")
        return rows, frames.to(torch.int32)


def wrap(graph: ForeignGraph, behaviour: Behaviour, ragged: bool, path: Path, normalizes: bool = False) -> None:
    """Write the graph with the inputs and outputs of the acoustic model.

    Args:
        graph: the graph as it came.
        behaviour: its behaviour.
        ragged: True: `audio` is `[total]` with `audio_shape` beside it, and the graph pads; False: `audio` is
            `[n, time]`, with equal lengths only.
        path: a file in an empty folder of its own.
        normalizes: True: each waveform gets zero mean and unit variance before the graph.
    """
    samples, waves = 4 * behaviour.min_samples, 2
    if ragged:
        lengths = torch.tensor([[samples], [samples - 1]], dtype=torch.int32)
        arguments: tuple[Tensor, ...] = (torch.zeros(2 * samples - 1), lengths)
        inputs: Shapes = {"audio": ["total"], "audio_shape": ["n", 1]}
    else:
        arguments, inputs = (torch.zeros(waves, samples),), {"audio": ["n", "time"]}
    first = _Before(graph, normalizes)
    before = _trace(first, arguments, inputs, first.outputs, graph.opset)
    shape = tuple(size for _, size in sorted(zip(behaviour.layout, (waves, 7, behaviour.columns), strict=True)))
    names = dict(zip(behaviour.layout, ("n", "frames", "columns"), strict=True))
    score_type = torch.float16 if graph.scores.type == TensorProto.FLOAT16 else torch.float32
    count_type = torch.int32 if graph.frames and graph.frames.type == TensorProto.INT32 else torch.int64
    counts_in_column = graph.frames is not None and graph.frames.rank == 2
    counts = torch.ones((waves, 1) if counts_in_column else (waves,), dtype=count_type)
    after = _trace(
        _After(behaviour, graph.frames is not None),
        (torch.zeros(shape, dtype=score_type), counts),
        {"scores": [names[axis] for axis in range(3)], "counts": ["n", 1] if counts_in_column else ["n"]},
        ["log_probs", "frames"],
        graph.opset,
    )
    model = _join(graph, before, after)
    del model.graph.input[:]
    types = {"audio": TensorProto.FLOAT, "audio_shape": TensorProto.INT32}
    model.graph.input.extend(helper.make_tensor_value_info(name, types[name], dims) for name, dims in inputs.items())
    del model.graph.output[:]
    model.graph.output.extend(
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["n", "frames", behaviour.columns]),
            helper.make_tensor_value_info("frames", TensorProto.INT32, ["n", 1]),
        ]
    )
    for file in graph.data_files():
        shutil.copyfile(file, path.parent / file.name)  # not a link, which ONNX refuses to follow
    onnx.save(model, path)
    finish(onnx.load(path), path)


def _join(graph: ForeignGraph, before: onnx.ModelProto, after: onnx.ModelProto) -> onnx.ModelProto:
    source = compose.add_prefix_graph(graph.model.graph, "graph/")
    last = compose.add_prefix_graph(after.graph, "after/")
    ends = [("waveforms", f"graph/{graph.audio.name}")]
    if graph.samples is not None:
        ends.append(("given_lengths", f"graph/{graph.samples.name}"))
    joined = compose.merge_graphs(before.graph, source, io_map=ends)
    counts = f"graph/{graph.frames.name}" if graph.frames is not None else "lengths"
    ends = [(f"graph/{graph.scores.name}", "after/scores"), (counts, "after/counts")]
    joined = compose.merge_graphs(joined, last, io_map=ends, name="acoustic", doc_string="")
    for name in ("log_probs", "frames"):
        joined.node.append(helper.make_node("Identity", [f"after/{name}"], [name]))
    del joined.value_info[:]
    # Opsets of 2023 and earlier work with the IR version of their time, but the tracer writes at least 8.
    ir_version = min(max(graph.model.ir_version, before.ir_version), MAX_IR_VERSION)
    return helper.make_model(joined, opset_imports=list(graph.model.opset_import), ir_version=ir_version)


def _trace(
    module: nn.Module, arguments: tuple[Tensor, ...], inputs: Shapes, outputs: list[str], opset: int
) -> onnx.ModelProto:
    dynamic = {
        name: {axis: dim for axis, dim in enumerate(dims) if isinstance(dim, str)} for name, dims in inputs.items()
    }
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work, torch.inference_mode(), Quiet():
        path = Path(work) / "part.onnx"
        torch.onnx.export(
            module.eval(),
            arguments,
            str(path),
            dynamo=False,
            opset_version=min(opset, _TRACER_MAX_OPSET),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=dynamic,
        )
        model = onnx.load(path)
    return model if opset <= _TRACER_MAX_OPSET else onnx.version_converter.convert_version(model, opset)

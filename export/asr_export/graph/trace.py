"""PyTorch module -> ONNX file that Triton 24.10's ONNX Runtime loads."""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

from asr_export.choices import Exporter
from asr_export.errors import GateError
from asr_export.networks.acoustic import CtcGraph
from asr_export.networks.parts.geometry import Geometry

# Opset 17 has every operator that these graphs need, and TensorRT and every current runtime take it. The dynamo
# exporter writes 20 best. The limits are those of ONNX Runtime 1.19, which Triton 24.10 ships.
OPSETS: dict[Exporter, int] = {"torchscript": 17, "dynamo": 20}
MAX_OPSET = 21
MAX_IR_VERSION = 10
# A protobuf file holds at most 2 GiB; the weights of larger models go into a file beside it.
EXTERNAL_DATA_FROM_BYTES = 1_900_000_000
# Name of an input or output -> its dynamic dimensions.
Axes = dict[str, dict[int, str]]
_OUTPUTS: Axes = {"log_probs": {0: "n", 1: "frames"}, "frames": {0: "n"}}


def write_graph(module: CtcGraph, geometry: Geometry, path: Path, exporter: Exporter = "torchscript") -> None:
    """Trace an acoustic graph into `path` (and `path.data` if the weights exceed a protobuf's 2 GiB).

    Raises:
        GateError: the dynamo exporter cannot take the model.
    """
    module.eval()  # in training mode, a wrapper turns SpecAugment on
    with torch.inference_mode(), Quiet():
        if exporter == "dynamo":
            model = _trace_by_dynamo(module, geometry)
        else:
            trace(module, module.example(geometry), module.inputs, _OUTPUTS, path)
            return
    finish(model, path)


def trace(module: Any, example: tuple[Tensor, ...], inputs: Axes, outputs: Axes, path: Path) -> None:
    """Trace a module by TorchScript, alone in its folder; `inputs` and `outputs` have their names and dynamic axes."""
    torch.onnx.export(
        module,
        example,
        str(path),
        dynamo=False,
        opset_version=OPSETS["torchscript"],
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes={**inputs, **outputs},
    )
    finish(onnx.load(path), path)


def finish(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph within the limits of the oldest supported runtime."""
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    model.producer_name = "triton-asr-kit"
    save_graph(model, path)


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write `path`, and the weights of a model too large for one file beside it; delete all other files there."""
    large = model.ByteSize() > EXTERNAL_DATA_FROM_BYTES
    for leftover in path.parent.iterdir():  # the exporter writes a large model as one file per tensor
        leftover.unlink()
    onnx.save(model, path, save_as_external_data=large, location=f"{path.name}.data" if large else None)


def _trace_by_dynamo(module: CtcGraph, geometry: Geometry) -> onnx.ModelProto:
    dynamic = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in module.inputs.values())
    printed = io.StringIO()  # on a failure torch prints the whole graph, thousands of lines
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            program: Any = torch.onnx.export(
                module,
                module.example(geometry),
                dynamo=True,
                opset_version=OPSETS["dynamo"],
                input_names=list(module.inputs),
                output_names=list(_OUTPUTS),
                dynamic_shapes=dynamic,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise GateError(f"the dynamo exporter cannot take this model ({reason}); try --exporter torchscript") from error
    model: onnx.ModelProto = program.model_proto
    # The exporter names dimensions by formulas, also the dimensions of tensors inside the graph.
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in {**module.inputs, **_OUTPUTS}[value.name].items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    return model


class Quiet(warnings.catch_warnings):
    """A context that silences the tracer's warnings about Python conditions; the parity gate shows if one mattered."""

    def __enter__(self) -> None:
        super().__enter__()
        for category in (torch.jit._trace.TracerWarning, DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        for name in ("torch.onnx", "torch.fx.experimental.symbolic_shapes"):  # the latter: bounds it cannot simplify
            logging.getLogger(name).setLevel(logging.ERROR)

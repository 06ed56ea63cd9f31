"""PyTorch module -> ONNX file that Triton 24.10's ONNX Runtime loads."""

import logging
import warnings
from pathlib import Path

import onnx
import torch

from asr_export.acoustic import CtcGraph
from asr_export.geometry import Geometry

# Every operator that these graphs need is in 17, which TensorRT and every current runtime take; the limits are those
# of ONNX Runtime 1.19, which Triton 24.10 ships.
OPSET = 17
MAX_OPSET = 21
MAX_IR_VERSION = 10
# A protobuf file ends at 2 GiB; the weights of larger models go beside it.
EXTERNAL_DATA_FROM_BYTES = 1_900_000_000


def write_graph(module: CtcGraph, geometry: Geometry, path: Path) -> None:
    """Trace an acoustic graph into `path` (and `path.data` where the weights exceed a protobuf's 2 GiB)."""
    module.eval()  # a wrapper left in training mode turns SpecAugment on
    with torch.inference_mode(), Quiet():
        torch.onnx.export(
            module,
            module.example(geometry),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(module.inputs),
            output_names=["log_probs", "frames"],
            dynamic_axes={
                **module.inputs,
                "log_probs": {0: "n", 1: "frames"},
                "frames": {0: "n"},
            },
        )
    finish(path)


def finish(path: Path) -> None:
    """Bring the file within the limits of the oldest supported runtime, weights in one file."""
    model = onnx.load(path)
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    model.producer_name = "triton-asr-kit"
    save_graph(model, path)


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write `path`, the only file of its folder but for the weights of a model too large for one file."""
    large = model.ByteSize() > EXTERNAL_DATA_FROM_BYTES
    for leftover in path.parent.iterdir():  # the exporter writes a large model as one file per tensor
        leftover.unlink()
    onnx.save(model, path, save_as_external_data=large, location=f"{path.name}.data" if large else None)


class Quiet(warnings.catch_warnings):
    """The tracer warns of every Python condition; the parity gate is what tells whether one of them mattered."""

    def __enter__(self) -> None:
        super().__enter__()
        for category in (torch.jit._trace.TracerWarning, DeprecationWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)

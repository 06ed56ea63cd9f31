"""Folders with graphs in place of weights, as optimum writes them, made without optimum from tiny checkpoints."""

import shutil
from pathlib import Path

import onnx
import torch
import whisper_as_optimum
from asr_export.graph.trace import Quiet
from onnx import TensorProto, helper
from transformers import AutoModelForCTC

SETTINGS = ("*.json", "merges.txt")
TWO, PAST, MERGED = "decoder_model", "decoder_with_past_model", "decoder_model_merged"


def write_ctc(checkpoint: Path, folder: Path, head: bool = True) -> Path:
    """Write what `optimum-cli export onnx` writes for a CTC checkpoint of waveforms: one graph without a mask.

    Args:
        checkpoint: the folder with the weights.
        folder: where to write.
        head: False: the graph of the task feature-extraction.
    """
    _copy_settings(checkpoint, folder)
    model = AutoModelForCTC.from_pretrained(checkpoint, attn_implementation="eager").eval()
    output = "logits" if head else "last_hidden_state"
    with torch.inference_mode(), Quiet():
        torch.onnx.export(
            model if head else model.base_model,
            (torch.randn(2, 16_000),),
            str(folder / "model.onnx"),
            dynamo=False,
            opset_version=18,
            input_names=["input_values"],
            output_names=[output],
            dynamic_axes={
                "input_values": {0: "batch_size", 1: "sequence_length"},
                output: {0: "batch_size", 1: "frames"},
            },
        )
    return folder


def write_whisper(checkpoint: Path, folder: Path) -> Path:
    """Write encoder, decoder and decoder with past of a checkpoint."""
    _copy_settings(checkpoint, folder)
    whisper_as_optimum.write(checkpoint, folder)
    return folder


def merge(folder: Path) -> None:
    """Put `decoder_model_merged.onnx` in the place of both decoders, as optimum merges them."""
    prompt, step = (onnx.load(folder / f"{name}.onnx") for name in (TWO, PAST))
    heard = [value for value in prompt.graph.output if ".encoder." in value.name]
    # Both branches must return the same; what never changes is handed through.
    step.graph.node.extend(
        helper.make_node("Identity", [value.name.replace("present", "past_key_values")], [value.name])
        for value in heard
    )
    branches = {}
    for name, graph in (("then_branch", step.graph), ("else_branch", prompt.graph)):
        outputs = [helper.make_empty_tensor_value_info(value.name) for value in prompt.graph.output]
        branches[name] = helper.make_graph(graph.node, name, [], outputs, graph.initializer)
    names = [value.name for value in prompt.graph.output]
    inputs = {value.name: value for value in (*prompt.graph.input, *step.graph.input)}
    inputs["input_ids"] = prompt.graph.input[0]
    graph = helper.make_graph(
        [helper.make_node("If", ["use_cache_branch"], names, **branches)],
        "merged",
        [*inputs.values(), helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1])],
        prompt.graph.output,
    )
    merged = helper.make_model(graph, opset_imports=prompt.opset_import, ir_version=prompt.ir_version)
    onnx.save(merged, folder / f"{MERGED}.onnx")
    for name in (TWO, PAST):
        (folder / f"{name}.onnx").unlink()


def in_own_folder(folder: Path) -> None:
    """Move the graphs into `onnx/`, where most repositories of the hub have them."""
    (folder / "onnx").mkdir()
    for file in folder.glob("*.onnx*"):
        if file.is_file():
            file.rename(folder / "onnx" / file.name)


def _copy_settings(checkpoint: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in SETTINGS:
        for file in checkpoint.glob(pattern):
            shutil.copy(file, folder)

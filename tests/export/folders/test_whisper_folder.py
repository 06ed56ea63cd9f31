"""The graphs of a Whisper in a folder of optimum through the whole export."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import graph_folders
import graph_variants
import numpy as np
import onnx
import onnxruntime
import pytest
from asr_export import CheckpointError, ExportError, ExportOptions, GateError, GraphError, export_checkpoint
from asr_export.whisper.branches import count_positions
from asr_serving.whisper.service import Service
from graph_folders import MERGED, PAST, TWO
from onnx import TensorProto, helper
from run_export import run_export

GRAPHS = ("encoder_model", TWO, PAST)


@pytest.fixture(scope="module")
def three_graphs(whisper_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graph_folders.write_whisper(whisper_checkpoint("multilingual"), tmp_path_factory.mktemp("three") / "folder")


@pytest.fixture
def folder(three_graphs: Path, tmp_path: Path) -> Path:
    """Three graphs without weights."""
    return Path(shutil.copytree(three_graphs, tmp_path / "folder"))


def export(folder: Path, **options: object) -> Path:
    """Return the folder of the decode step."""
    result = export_checkpoint(str(folder), folder.parent / "models", ExportOptions(**options))  # type: ignore[arg-type]
    return result.output / "whisper_generate" / "1"


def refuse(folder: Path, error: type[ExportError], message: str, **options: object) -> None:
    """Nothing is written."""
    with pytest.raises(error, match=message):
        export(folder, **options)
    assert not (folder.parent / "models").exists()


def says(step: Path) -> list[list[int]]:
    """Return the tokens of two recordings in one batch."""
    random = np.random.default_rng(8)
    waves = [random.normal(scale=0.1, size=size).astype(np.float32) for size in (9_000, 50_000)]
    with Service.load(step) as service:
        options = service.codec.options({"max_new_tokens": 20})
        return [answer.tokens for answer in service.transcribe([(wave, options) for wave in waves])]  # type: ignore[union-attr]


def test_three_graphs(folder: Path, whisper_artefacts: Callable[[str], Path]) -> None:
    done = run_export(folder, folder.parent / "models")
    assert done.returncode == 0, done.stderr
    assert "variant fp32: encoder_model.onnx, decoder_model.onnx, decoder_with_past_model.onnx" in done.stderr
    assert "parity with the decoder of whole prompts over" in done.stdout
    step = folder.parent / "models" / "whisper_generate" / "1"
    assert says(step) == says(whisper_artefacts("multilingual"))
    report = json.loads((folder.parent / "models" / "asr" / "export.json").read_text(encoding="utf-8"))
    assert (report["variant"], report["precision"]) == ("fp32", "fp32")
    assert report["files_sha256"].keys() >= {"config.json", "encoder_model.onnx", "generation_config.json"}


def test_a_merged_decoder(
    folder: Path, whisper_checkpoint: Callable[[str], Path], whisper_artefacts: Callable[[str], Path]
) -> None:
    graph_folders.merge(folder)
    graph_folders.in_own_folder(folder)
    shutil.copy(whisper_checkpoint("multilingual") / "model.safetensors", folder)
    result = export_checkpoint(str(folder), folder.parent / "models", ExportOptions(variant="fp32"))
    assert result.reference == "PyTorch"
    assert result.parity.max_abs_difference <= 1e-4
    step = result.output / "whisper_generate" / "1"
    assert says(step) == says(whisper_artefacts("multilingual"))
    for name in GRAPHS:
        assert "If" not in {node.op_type for node in onnx.load(step / f"{name}.onnx").graph.node}


def test_float16_has_float32_ends(folder: Path) -> None:
    for name in GRAPHS:
        graph_variants.halve(folder / f"{name}.onnx")
    step = export(folder, variant="fp16")
    assert says(step)
    encoder, decoder = (onnx.load(step / f"{name}.onnx").graph for name in GRAPHS[:2])
    ends = [*encoder.input, *encoder.output, decoder.input[1], decoder.output[0]]
    assert {value.type.tensor_type.elem_type for value in ends} == {TensorProto.FLOAT}
    assert decoder.output[1].type.tensor_type.elem_type == TensorProto.FLOAT16  # the cache stays as it is


def test_one_scale_for_a_batch_is_one_recording_at_a_time(folder: Path) -> None:
    for name in GRAPHS:
        graph_variants.quantise(folder / f"{name}.onnx")
    refuse(folder, GraphError, r"DynamicQuantizeLinear.* needs --max-batch-size 1", variant="quantized")
    assert says(export(folder, variant="quantized", max_batch_size=1))


def test_a_decoder_in_few_bits_that_writes_something_else(folder: Path) -> None:
    for name in GRAPHS:
        graph_variants.halve(folder / f"{name}.onnx")
    spoil(folder / f"{TWO}_fp16.onnx")
    spoil(folder / f"{PAST}_fp16.onnx")
    refuse(folder, GateError, r"agrees with the graphs in fp32 in \d+\.\d+% of all tokens; needs 98", variant="fp16")


def test_decoders_of_two_models(folder: Path) -> None:
    spoil(folder / f"{PAST}.onnx")
    refuse(folder, GateError, "logits from the decoder of whole prompts differ by")


def spoil(path: Path) -> None:
    """Turn the sign of the last norm."""
    model = onnx.load(path)
    weight = next(weight for weight in model.graph.initializer if weight.name.endswith("decoder.layer_norm.weight"))
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(model, path)


def test_nan(folder: Path) -> None:
    model = onnx.load(folder / "encoder_model.onnx")
    weight = next(weight for weight in model.graph.initializer if weight.name.endswith("fc1.bias"))
    values = np.full_like(onnx.numpy_helper.to_array(weight), np.nan)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, folder / "encoder_model.onnx")
    refuse(folder, GateError, "fc1.bias holds NaN or Inf")


def test_a_graph_that_is_missing(folder: Path) -> None:
    (folder / f"{PAST}.onnx").unlink()
    refuse(
        folder, CheckpointError, "needs .* decoder_with_past_model.onnx or .*, has decoder_model.onnx, encoder_model"
    )


def test_exported_without_past(folder: Path) -> None:
    model = onnx.load(folder / f"{TWO}.onnx")
    del model.graph.output[1:]
    onnx.save(model, folder / f"{TWO}.onnx")
    refuse(folder, GraphError, r"lacks the output\(s\) present.0.decoder.key.* without past; .*-with-past")


def test_exported_without_the_head(folder: Path) -> None:
    model = onnx.load(folder / f"{TWO}.onnx")
    model.graph.output[0].name = model.graph.node[-1].output[0] = "last_hidden_state"
    onnx.save(model, folder / f"{TWO}.onnx")
    refuse(folder, GraphError, r"lacks the output\(s\) logits")


def test_an_input_that_nobody_fills(folder: Path) -> None:
    model = onnx.load(folder / "encoder_model.onnx")
    model.graph.input.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, []))
    last = model.graph.node[-1]
    (end,) = last.output
    last.output[0] = "before"
    model.graph.node.append(helper.make_node("Mul", ["before", "gain"], [end]))
    onnx.save(model, folder / "encoder_model.onnx")
    refuse(folder, GraphError, "has the inputs gain, input_features; needs input_features")


def test_a_fixed_batch(folder: Path) -> None:
    model = onnx.load(folder / "encoder_model.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "encoder_model.onnx")
    refuse(folder, GraphError, "the batch of input_features is fixed to 1")


def test_a_fork_of_something_else(folder: Path) -> None:
    graph_folders.merge(folder)
    model = onnx.load(folder / f"{MERGED}.onnx")
    model.graph.node[0].input[0] = model.graph.input[-1].name = "use_past"
    onnx.save(model, folder / f"{MERGED}.onnx")
    refuse(folder, GraphError, "has 0 If of its input use_cache_branch; needs one")


@pytest.mark.parametrize(("after", "expected"), [(False, [0, 1, 2]), (True, [3])])
def test_positions_are_counted_in_the_graph(after: bool, expected: list[int]) -> None:
    """Some versions of optimum leave `cache_position` to the caller."""
    ends = [helper.make_tensor_value_info(name, TensorProto.INT64, [None]) for name in ("cache_position", "out")]
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "length"])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["cache_position"], ["out"])], "g", [tokens, ends[0]], [ends[1]]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    count_positions(model, "cache_position", "tokens", 1, after)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert session.run(None, {"tokens": np.zeros((2, 3), np.int64)})[0].tolist() == expected


def test_nodes_in_any_order(folder: Path) -> None:
    """ONNX Runtime's conversion to float16 puts casts at the end; the checker refuses that, ONNX Runtime does not."""
    model = onnx.load(folder / "encoder_model.onnx")
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, folder / "encoder_model.onnx")
    assert says(export(folder))

"""An export with `--platform tensorrt --ragged`: an engine that takes the ragged batches of the other models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from asr_export import ExportError, ExportOptions, ExportResult, export_checkpoint
from asr_export.graph.feeds import sized_feed
from asr_export.repository.engine import bucket_samples, ragged_profile
from asr_export.repository.inspection import inspect_graph, inspect_repository
from asr_export.repository.model_folder import read_config
from installed import COMMAND, run
from tritonclient.grpc import model_config_pb2

BatchInput = model_config_pb2.BatchInput


@pytest.fixture(scope="module")
def ragged(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """An export for a ragged engine."""
    output = tmp_path_factory.mktemp("ragged") / "models"
    options = ExportOptions(platform="tensorrt", ragged=True, max_batch_size=8, max_audio_seconds=20, max_streams=3)
    return export_checkpoint(str(tiny_checkpoint("wav2vec2-group-norm")), output, options)


def test_the_profile_covers_every_batch() -> None:
    shapes = ragged_profile(bucket_samples(16_000, 400, 40), 400, 16)
    assert shapes.smallest == {"audio": (400,), "audio_shape": (1, 1), "longest": (400,)}
    assert shapes.largest == {"audio": (16 * 640_000,), "audio_shape": (16, 1), "longest": (640_000,)}
    (total,), (longest,) = shapes.optimal["audio"], shapes.optimal["longest"]
    assert total == 16 * longest
    assert 400 < longest < 640_000


def test_the_profile_has_the_shapes_of_what_the_graph_takes() -> None:
    shapes = ragged_profile(bucket_samples(16_000, 400, 40), 400, 16)
    feed = sized_feed([np.zeros(640_000, np.float32)] * 16)
    assert {name: array.shape for name, array in feed.items()} == shapes.largest


def test_the_engine_takes_a_ragged_batch_and_its_width_as_a_shape(ragged: ExportResult) -> None:
    config = read_config(ragged.output / "acoustic")
    assert (config.platform, config.backend, config.default_model_filename) == ("tensorrt_plan", "", "model.plan")
    (audio,) = config.input
    assert (audio.name, list(audio.dims), audio.allow_ragged_batch) == ("audio", [-1], True)
    batch_inputs = {
        entry.target_name[0]: (entry.kind, entry.data_type, list(entry.source_input)) for entry in config.batch_input
    }
    assert batch_inputs == {
        "audio_shape": (BatchInput.BATCH_ITEM_SHAPE, model_config_pb2.TYPE_INT32, ["audio"]),
        "longest": (BatchInput.BATCH_MAX_ELEMENT_COUNT_AS_SHAPE, model_config_pb2.TYPE_FP32, ["audio"]),
    }
    (warmup,) = config.model_warmup
    assert [(name, list(given.dims)) for name, given in warmup.inputs.items()] == [("audio", [16_000])]
    assert [group.kind for group in config.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_GPU]
    assert not config.parameters  # they are for ONNX Runtime


def test_graph_script_and_configuration_name_the_same_inputs(ragged: ExportResult) -> None:
    acoustic = ragged.output / "acoustic"
    graph = inspect_graph(acoustic / "1" / "model.onnx")
    assert graph.inputs == ["audio float32 [total]", "audio_shape int32 [n, 1]", "longest float32 [samples]"]
    script = (acoustic / "build_engine.sh").read_text()
    assert "--minShapes=audio:400,audio_shape:1x1,longest:400 " in script
    assert "--maxShapes=audio:2560000,audio_shape:8x1,longest:320000 " in script


def test_the_rest_is_as_for_onnx_runtime(ragged: ExportResult) -> None:
    assert (ragged.models.long, ragged.models.stream) == ("asr_long", "asr_stream")
    assert read_config(ragged.output / "asr_stream").parameters["max_streams"].string_value == "3"
    assert "bucket_samples" not in read_config(ragged.output / "preprocess").parameters
    first, second, _ = read_config(ragged.output / "asr").ensemble_scheduling.step
    assert "lengths" not in {*first.output_map, *second.input_map}


def test_it_shares_preprocess_with_a_model_of_onnx_runtime(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = str(tiny_checkpoint("wav2vec2-group-norm"))
    export_checkpoint(checkpoint, tmp_path, ExportOptions(name="cpu"))
    result = export_checkpoint(checkpoint, tmp_path, ExportOptions(name="gpu", platform="tensorrt", ragged=True))
    assert result.models.preprocess == "preprocess"


def test_an_engine_in_fp16(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    options = ExportOptions(platform="tensorrt", ragged=True, precision="fp16")
    result = export_checkpoint(str(tiny_checkpoint("wav2vec2-group-norm")), tmp_path, options)
    assert result.parity.decided_agreement == 1
    assert inspect_graph(tmp_path / "acoustic" / "1" / "model.onnx").weights["float16"] > 10_000


def test_onnx_runtime_is_ragged_anyway(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--ragged is not for ONNX Runtime, whose batches are always ragged"):
        export_checkpoint("nowhere", tmp_path, ExportOptions(ragged=True))


def test_the_command_inspects_it(ragged: ExportResult, tmp_path: Path) -> None:
    (model,) = inspect_repository(ragged.output)
    assert (model.platform, model.engine_is_built, model.buckets) == ("tensorrt_plan", False, [])
    done = run(COMMAND, "inspect", ragged.output, cwd=tmp_path)
    assert "engine not built yet (build_engine.sh); ragged batches of any lengths, up to 8 at once" in done.stdout

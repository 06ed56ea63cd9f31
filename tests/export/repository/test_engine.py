"""What surrounds a TensorRT engine: the lengths, the profile, the repository, and the script that builds it."""

import os
import re
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from asr_export import ExportError, ExportOptions, ExportResult, export_checkpoint
from asr_export.networks.parts.batch import BLOCK
from asr_export.repository.engine import bucket_samples, dense_profile, write_build_script
from asr_export.repository.inspection import inspect_graph, inspect_repository
from asr_export.repository.model_folder import read_config
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

FAKE_TRTEXEC = """#!/bin/sh
printf '%s\\n' "$@" > arguments
for argument; do
    case $argument in --saveEngine=*) echo an engine > "${argument#*=}" ;; esac
done
exit "${FAKE_STATUS:-0}"
"""


@pytest.fixture(scope="module")
def dense(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """An export for TensorRT."""
    output = tmp_path_factory.mktemp("tensorrt") / "models"
    options = ExportOptions(platform="tensorrt", max_batch_size=8, max_audio_seconds=20)
    return export_checkpoint(str(tiny_checkpoint("wav2vec2-group-norm")), output, options)


@given(
    rate=st.sampled_from([8_000, 16_000, 44_100]),
    shortest=st.integers(1, 100_000),
    seconds=st.floats(0.1, 3_600),
)
def test_padding_adds_a_quarter_at_most(rate: int, shortest: int, seconds: float) -> None:
    buckets = bucket_samples(rate, shortest, seconds)
    assert all(length % BLOCK == 0 for length in buckets)
    assert list(buckets) == sorted(set(buckets))
    assert buckets[-1] - BLOCK < seconds * rate <= buckets[-1]
    assert all(longer <= 1.25 * (shorter + 1) for shorter, longer in pairwise(buckets))
    assert buckets[0] < max(rate, shortest) + BLOCK


def test_the_profile_covers_what_triton_may_send() -> None:
    shapes = dense_profile(bucket_samples(16_000, 400, 40), 16)
    assert shapes.smallest == {"audio": (1, 16_384), "lengths": (1, 1)}
    assert shapes.largest == {"audio": (16, 640_000), "lengths": (16, 1)}
    recordings, samples = shapes.optimal["audio"]
    assert (recordings, shapes.optimal["lengths"]) == (16, (16, 1))
    assert 16_384 < samples < 640_000


def test_the_acoustic_model_is_an_engine_over_dense_audio(dense: ExportResult) -> None:
    config = read_config(dense.output / "acoustic")
    assert (config.platform, config.backend, config.default_model_filename) == ("tensorrt_plan", "", "model.plan")
    inputs = {tensor.name: (tensor.data_type, list(tensor.dims), tensor.allow_ragged_batch) for tensor in config.input}
    assert inputs == {
        "audio": (model_config_pb2.TYPE_FP32, [-1], False),
        "lengths": (model_config_pb2.TYPE_INT32, [1], False),
    }
    assert not config.batch_input
    assert [group.kind for group in config.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_GPU]
    assert config.HasField("dynamic_batching")


def test_preprocess_pads_and_the_ensemble_hands_the_lengths_on(dense: ExportResult) -> None:
    preprocess, ensemble = read_config(dense.output / "preprocess"), read_config(dense.output / "asr")
    lengths = preprocess.parameters["bucket_samples"].string_value.split(",")
    assert lengths == [str(samples) for samples in bucket_samples(16_000, 400, 20)]
    assert [tensor.name for tensor in preprocess.output] == ["audio", "duration", "speech", "lengths"]
    first, second, _ = ensemble.ensemble_scheduling.step
    assert first.output_map["lengths"] == second.input_map["lengths"] == "lengths"


def test_a_padding_preprocess_is_not_shared_with_a_ragged_model(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = str(tiny_checkpoint("wav2vec2-group-norm"))
    export_checkpoint(checkpoint, tmp_path, ExportOptions(name="ragged"))
    export_checkpoint(checkpoint, tmp_path, ExportOptions(name="dense", platform="tensorrt"))
    export_checkpoint(checkpoint, tmp_path, ExportOptions(name="other", platform="tensorrt"))
    used = {
        name: read_config(tmp_path / name).ensemble_scheduling.step[0].model_name
        for name in ("ragged", "dense", "other")
    }
    assert used == {"ragged": "preprocess", "dense": "dense_preprocess", "other": "other_preprocess"}
    assert "bucket_samples" not in read_config(tmp_path / "preprocess").parameters


def test_inspect_tells_the_platform(dense: ExportResult, exported: ExportResult) -> None:
    (model,) = inspect_repository(dense.output)
    assert (model.platform, model.engine_is_built) == ("tensorrt_plan", False)
    assert model.buckets == list(bucket_samples(16_000, 400, 20))
    (model,) = inspect_repository(exported.output)
    assert (model.platform, model.buckets) == ("onnxruntime", [])


def test_an_engine_in_fp16_is_made_of_a_graph_in_fp16(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """TensorRT 11 takes types as they are written. The mel spectrum and all norms stay float32."""
    options = ExportOptions(platform="tensorrt", precision="fp16")
    result = export_checkpoint(str(tiny_checkpoint("parakeet")), tmp_path, options)
    assert result.parity.decided_agreement == 1
    graph = inspect_graph(tmp_path / "acoustic" / "1" / "model.onnx")
    assert graph.weights["float16"] > 10_000
    assert graph.inputs == ["audio float32 [n, time]", "lengths int32 [n, 1]"]
    assert graph.outside_tensorrt == []


def test_an_engine_in_int8_is_refused(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--precision int8 is for ONNX Runtime"):
        export_checkpoint(
            str(tiny_checkpoint("sew")), tmp_path / "models", ExportOptions(platform="tensorrt", precision="int8")
        )
    assert list(tmp_path.iterdir()) == []


def test_an_engine_takes_no_live_streams(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--max-streams is not for a TensorRT engine without --ragged"):
        export_checkpoint("nowhere", tmp_path, ExportOptions(platform="tensorrt", max_streams=40))


def test_an_unknown_platform(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="platform is 'cuda'; needs one of onnxruntime, tensorrt"):
        export_checkpoint("nowhere", tmp_path, ExportOptions(platform="cuda"))


@pytest.fixture
def acoustic(tmp_path: Path) -> Path:
    """A folder as an export leaves it, in a place whose name a careless script trips on."""
    folder = tmp_path / "two words" / "acoustic"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_text("a graph")
    write_build_script(folder, dense_profile((16_384, 20_480, 25_600), 8))
    return folder


def build(folder: Path, *arguments: str, trtexec: bool = True, **environment: str) -> Any:
    """Run the script from elsewhere, with a `trtexec` on PATH that writes down its arguments, or none."""
    programs = folder.parent / "bin"
    programs.mkdir(exist_ok=True)
    if trtexec:
        (programs / "trtexec").write_text(FAKE_TRTEXEC)
        (programs / "trtexec").chmod(0o755)
    return subprocess.run(
        [str(folder / "build_engine.sh"), *arguments],
        env={"PATH": f"{programs}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_script_leaves_the_engine_where_triton_looks(acoustic: Path, dense: ExportResult) -> None:
    done = build(acoustic)
    assert done.returncode == 0, done.stderr
    filename = read_config(dense.output / "acoustic").default_model_filename
    assert (acoustic / "1" / filename).read_text() == "an engine\n"
    assert {path.name for path in (acoustic / "1").iterdir()} == {"model.onnx", "model.plan"}
    assert (acoustic / "arguments").read_text().split("\n")[:-1] == [
        "--onnx=1/model.onnx",
        "--saveEngine=1/model.plan.part",
        "--stronglyTyped",
        "--minShapes=audio:1x16384,lengths:1x1",
        "--optShapes=audio:8x20480,lengths:8x1",
        "--maxShapes=audio:8x25600,lengths:8x1",
        "--timingCacheFile=timing.cache",
        "--skipInference",
        "--noTF32",
    ]


def test_the_script_takes_settings_and_passes_arguments_on(acoustic: Path) -> None:
    done = build(acoustic, "--verbose", "a b", WORKSPACE_MIB="512", TIMING_CACHE="/tmp/my cache", TF32="1")
    assert done.returncode == 0, done.stderr
    arguments = (acoustic / "arguments").read_text().split("\n")[:-1]
    assert {"--memPoolSize=workspace:512", "--timingCacheFile=/tmp/my cache"} <= set(arguments)
    assert arguments[-2:] == ["--verbose", "a b"]
    assert "--noTF32" not in arguments


def test_a_build_that_fails_leaves_no_engine(acoustic: Path) -> None:
    assert build(acoustic, FAKE_STATUS="3").returncode == 3
    assert not (acoustic / "1" / "model.plan").exists()


@pytest.mark.skipif(os.path.exists("/usr/src/tensorrt"), reason="TensorRT is here")  # noqa: PTH110
@pytest.mark.parametrize("environment", [{}, {"TRTEXEC": "/nowhere/trtexec"}])
def test_without_trtexec_the_script_says_where_it_is(acoustic: Path, environment: dict[str, str]) -> None:
    done = build(acoustic, trtexec=False, **environment)
    assert done.returncode == 1
    assert re.search(r"trtexec is not here.*nvcr.io/nvidia/tensorrt", done.stderr, re.DOTALL)


def test_an_exported_script_is_finished(dense: ExportResult) -> None:
    script = dense.output / "acoustic" / "build_engine.sh"
    assert os.access(script, os.X_OK)
    assert "@MIN" not in script.read_text()
    assert "--maxShapes=audio:8x320000,lengths:8x1" in script.read_text()
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=60)

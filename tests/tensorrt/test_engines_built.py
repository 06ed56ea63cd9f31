"""What TensorRT-RTX says of an export: `make check-tensorrt`, which also builds engines of every family."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import exports
import pytest
from asr_export import ExportOptions
from asr_export.repository.engine import Profile, write_build_script

sys.path.append(str(exports.ROOT / "benchmarks" / "engines"))

from check_engines import build_engine

pytestmark = pytest.mark.tensorrt


@pytest.fixture
def acoustic(request: pytest.FixtureRequest, tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """The acoustic model of an export; a test's parameter says whether it is ragged."""
    options = ExportOptions(platform="tensorrt", ragged=request.param)
    made = exports.exported(tiny_checkpoint("wav2vec2-group-norm"), options)
    return Path(shutil.copytree(made / "acoustic", tmp_path / "acoustic"))


@pytest.mark.parametrize("acoustic", [False, True], indirect=True)
def test_the_exported_script_builds_an_engine(acoustic: Path) -> None:
    facts = build_engine(acoustic)
    assert facts["layers"] > 500
    assert (acoustic / "1" / "model.plan").stat().st_size == facts["engine_bytes"]


@pytest.mark.parametrize("acoustic", [False], indirect=True)
def test_lengths_need_not_be_whole_blocks(acoustic: Path) -> None:
    small, large = ({"audio": (recordings, 16_001), "lengths": (recordings, 1)} for recordings in (1, 16))
    write_build_script(acoustic, Profile(small, large, {**large, "audio": (16, 640_001)}))
    assert build_engine(acoustic)["layers"] > 500


@pytest.mark.parametrize("acoustic", [True], indirect=True)
def test_a_profile_without_an_input_is_refused(acoustic: Path) -> None:
    script = acoustic / "build_engine.sh"
    script.write_text(re.sub(r",longest:\d+", "", script.read_text()))
    assert build_engine(acoustic)["refused"] == "the profile has no shape of the input longest"
    assert not (acoustic / "1" / "model.plan").exists()


def test_a_graph_in_int8_is_refused(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    made = exports.exported(tiny_checkpoint("wav2vec2-group-norm"), ExportOptions(precision="int8"))
    acoustic = Path(shutil.copytree(made / "acoustic", tmp_path / "acoustic"))
    one = {"audio": (16_384,), "audio_shape": (1, 1)}
    write_build_script(acoustic, Profile(one, one, one))
    assert "TensorRT does not support UINT8" in build_engine(acoustic)["refused"]  # of activations

"""benchmarks/gpu.py on a CPU with tiny models, as a person runs it, and how it goes on where it stopped."""

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gpu import TooLong, limited, parts_of
from gpu_bench.checkpoints import LARGE, TINY
from gpu_bench.results import Results

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
SERVED = {"start_s", "mixed", "equal", "mixed_to_equal", "latency"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = ["--result", str(folder / "gpu.json"), "--build", str(folder / "build")]
    command = [sys.executable, str(SCRIPT), "--rehearse", *places, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.e2e
def test_a_rehearsal_measures_every_part_and_knows_it_afterwards(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert list(parts) == list(parts_of(TINY, rehearse=True))
    for part in parts.values():
        assert part["about"]["gpu"] is None
        assert part["about"]["versions"].keys() >= {"onnxruntime", "torch", "transformers", "nvidia-pytriton"}
        assert all(map(math.isfinite, numbers(part["figures"])))
    for name in ("tiny-wav2vec2/fp16", "tiny-whisper/fp32"):
        figures = parts[name]["figures"]
        assert figures.keys() - {"streams"} == SERVED
        for lengths in ("mixed", "equal"):
            assert figures[lengths]["rtfx"] > 0
            assert {member["average_batch"] > 0 for member in figures[lengths]["members"].values()} == {True}
        assert [step["errors"] for step in figures["latency"]] == [{}]
        assert figures["latency"][0]["p50_ms"] > 0
    (stream,) = parts["tiny-wav2vec2/fp16"]["figures"]["streams"]
    assert stream["audio_rate"] > 0
    for name in ("tiny-wav2vec2/parity", "tiny-parakeet/parity"):
        assert parts[name]["figures"]["fp32"]["max_abs_difference"] < 1e-4
        assert parts[name]["figures"]["fp32"]["operators"]["nodes"].keys() == {"CPUExecutionProvider"}
    assert parts["tiny-whisper/parity"]["figures"]["fp32"]["tokens"] == [100] * 4
    assert parts["tiny-parakeet/export"]["figures"]["parameters"] > 0

    again = run(tmp_path)
    assert again.returncode == 0, again.stderr
    assert [line.split(": ")[:2] for line in again.stdout.splitlines()] == [[part, "known"] for part in parts]


def test_a_part_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    done = run(tmp_path, "--part", "wav2vec/*")
    assert done.returncode == 2
    assert "--part is 'wav2vec/*'; needs a pattern for some of tiny-wav2vec2/export, " in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU")
def test_without_a_gpu_it_says_so_and_names_the_rehearsal(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--result", str(tmp_path / "gpu.json"), "--build", str(tmp_path / "build")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "there is no GPU 0 with NVIDIA's driver here" in done.stderr
    assert "--rehearse needs none" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_on_a_gpu_every_model_is_served_in_every_precision() -> None:
    assert list(parts_of(LARGE, rehearse=False)) == [
        *(f"{model}/{part}" for model in list(LARGE)[:3] for part in ("export", "parity", "fp16", "fp32")),
        *(f"whisper-large-v3-turbo/{part}" for part in ("export", "parity", "fp32")),
    ]


def test_figures_hold_for_one_device_and_its_settings(tmp_path: Path) -> None:
    about = {"gpu": {"name": "NVIDIA H200"}, "settings": {"shares": (0.25, 0.5)}}
    Results(tmp_path / "gpu.json").add("a/fp16", about, {"rtfx": 5123.456, "many": [{"p95_ms": None}]}, 3.14)
    Results(tmp_path / "gpu.json").add("b/fp16", about, {}, 1)
    found = Results(tmp_path / "gpu.json")
    assert found.figures("a/fp16", about) == {"rtfx": 5123.0, "many": [{"p95_ms": None}]}
    assert found.figures("a/fp16", {**about, "gpu": {"name": "NVIDIA L4"}}) is None
    assert found.figures("c/fp16", about) is None


def test_a_part_that_takes_too_long_ends(tmp_path: Path) -> None:
    with pytest.raises(TooLong), limited(0.05):
        time.sleep(60)
    with pytest.raises(TooLong), limited(0):
        pytest.fail("it has no time at all")
    with limited(60):
        pass

"""Build an engine of every kind of checkpoint with TensorRT-RTX, on the CPU, and write docs/parity.md.

    python benchmarks/engines/check_engines.py [--kinds wav2vec2-group-norm,…] [--environment .venv-tensorrt]

Each engine comes from a whole export with `--platform tensorrt` and from the `build_engine.sh` in it, so that graph and
profile are what a user gets. `make check-tensorrt` sets up the environment of TensorRT-RTX. The exit status is 1
if TensorRT-RTX refuses a graph; the page then says why.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "benchmarks"), str(ROOT / "tests" / "support" / "models")]

import tiny_checkpoints  # noqa: E402
from asr_export import ExportOptions, export_checkpoint  # noqa: E402
from asr_export.checkpoint.families import FAMILIES  # noqa: E402
from asr_export.choices import Precision  # noqa: E402
from parity_page import ENGINES, PAGE, save  # noqa: E402
from tqdm import tqdm  # noqa: E402

ENVIRONMENT = ROOT / ".venv-tensorrt"
TRTEXEC = Path(__file__).with_name("trtexec.py")
GRAPHS = {"dense": False, "ragged": True}  # -> the option --ragged
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")  # all that an engine can have


@dataclass(frozen=True)
class Engine:
    """What became of one graph; `refused` is empty if TensorRT-RTX built an engine of it."""

    kind: str
    graph: str
    precision: str
    layers: int
    engine_bytes: int
    refused: str


def main() -> int:
    """Build all engines and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", help=f"comma-separated; by default all of {', '.join(tiny_checkpoints.KINDS)}")
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, help="the one that has TensorRT-RTX")
    arguments = parser.parse_args()
    kinds = arguments.kinds.split(",") if arguments.kinds else list(tiny_checkpoints.KINDS)
    if unknown := sorted(set(kinds) - set(tiny_checkpoints.KINDS)):
        parser.error(f"--kinds has {', '.join(unknown)}; needs some of {', '.join(tiny_checkpoints.KINDS)}")
    if left_out := sorted(FAMILIES.keys() - {tiny_checkpoints.model_type(kind) for kind in tiny_checkpoints.KINDS}):
        parser.error(f"no tiny checkpoint is of the family {', '.join(left_out)}: add a kind to tiny_checkpoints.py")
    engines: list[Engine] = []
    for kind, graph, precision in tqdm(list(product(kinds, GRAPHS, PRECISIONS)), unit="engine", file=sys.stderr):
        with tempfile.TemporaryDirectory() as work:
            checkpoint = tiny_checkpoints.write(kind, Path(work) / "checkpoint")
            options = ExportOptions(platform="tensorrt", ragged=GRAPHS[graph], precision=precision)
            result = export_checkpoint(str(checkpoint), Path(work) / "models", options)
            facts = build_engine(result.output / result.models.runner, arguments.environment)
        built = facts.get("layers", 0), facts.get("engine_bytes", 0), facts.get("refused", "")
        engines.append(Engine(kind, graph, precision, *built))
    save(
        ENGINES,
        {"versions": {"TensorRT-RTX": facts["tensorrt_rtx"]}, "engines": [vars(engine) for engine in engines]},
    )
    refused = [engine for engine in engines if engine.refused]
    for engine in refused:
        print(f"refused: {engine.kind}, {engine.graph}, {engine.precision}: {engine.refused}", file=sys.stderr)
    print(f"{len(kinds)} kinds, {len(engines) - len(refused)} of {len(engines)} engines built: {PAGE}")
    return 1 if refused else 0


def build_engine(acoustic: Path, environment: Path = ENVIRONMENT) -> dict[str, Any]:
    """Run an exported model's `build_engine.sh` with TensorRT-RTX, and return what `trtexec.py` says.

    Args:
        acoustic: the folder of the model.
        environment: has TensorRT-RTX.

    Raises:
        RuntimeError: the script failed without an answer.
    """
    # trtexec.py begins with `env python3`, which this finds.
    path = f"{environment.resolve() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [acoustic / "build_engine.sh"],
        env={**os.environ, "PATH": path, "TRTEXEC": str(TRTEXEC)},
        capture_output=True,
        text=True,
        check=False,
    )
    first, _, _ = done.stdout.partition("\n")
    try:
        facts: dict[str, Any] = json.loads(first)
    except ValueError:
        raise RuntimeError(f"{acoustic}/build_engine.sh ended with {done.returncode}: {done.stderr}") from None
    return facts


if __name__ == "__main__":
    sys.exit(main())

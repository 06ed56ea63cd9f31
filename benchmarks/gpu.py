"""Measure the kit on a GPU, on a machine that has only what it was given; a rehearsal needs no GPU.

    python benchmarks/gpu.py                              # as many parts as 8 minutes hold
    python benchmarks/gpu.py                              # again: it goes on where it stopped
    python benchmarks/gpu.py --part 'wav2vec2-large/*'    # some parts
    python benchmarks/gpu.py --rehearse                   # tiny models on the CPU, in less than a minute

It makes checkpoints with random weights of the shapes of wav2vec2-large, Parakeet CTC 0.6B and 1.1B, and Whisper
large-v3-turbo. The parts of each, MODEL/PART:

- export: write the checkpoint and its repositories (in build/gpu), without the gate of an export.
- parity: fp32 and fp16 on the GPU against transformers on the CPU, and the operators that CUDA leaves to the CPU.
- fp16, fp32: the served model: seconds of audio per second (RTFx) with all callers waiting, over gRPC, for recordings
  of mixed and of equal lengths. For the first precision of a model also latencies at rates in an open loop and, of a
  CTC model, lags of live streams.

Each part's figures go into the file of results at once. A part that is there for the same device, versions and settings
is skipped, unless --again. The exit status is 1 if a part failed or did not end in time.

A machine without network needs Linux, Python 3.12 with its shared library, NVIDIA's driver and PyTorch for CUDA 13,
whose CUDA libraries ONNX Runtime uses, too. Carry the wheels of benchmarks/gpu-requirements.txt:

    pip download -d wheels --no-deps --only-binary :all: --python-version 3.12 --platform manylinux_2_28_x86_64 \\
        --platform manylinux_2_35_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \\
        --platform manylinux2014_x86_64 -r benchmarks/gpu-requirements.txt
    pip wheel -w wheels --no-deps .

There, in a copy of this project:

    python3 -m venv --system-site-packages gpu-venv
    gpu-venv/bin/pip install --no-index --no-deps wheels/*.whl
    gpu-venv/bin/python benchmarks/gpu.py
"""

import argparse
import fnmatch
import json
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from gpu_bench.checkpoints import LARGE, TINY, Model, precisions
from gpu_bench.plan import GPU, REHEARSAL, Plan
from gpu_bench.results import Results, about_device

ROOT = Path(__file__).parents[1]
RESULT, BUILD = ROOT / "benchmarks" / "results" / "gpu.json", ROOT / "build" / "gpu"
REHEARSED = ROOT / "build" / "gpu-rehearsal"
EXPORT = "export"
MINUTES = 8.0
DONE = "done.json"  # in the folder of a model whose export is whole: what it holds for


class TooLong(BaseException):
    """A part takes longer than it may; no `except Exception` within it may swallow this."""


def main() -> None:
    """Measure the parts that are missing, and print what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="*", metavar="PATTERN", help="which MODEL/PART, with * and ?")
    parser.add_argument("--again", action="store_true", help="measure what is in the file of results, too")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="no part goes on for longer, nor begins later")
    parser.add_argument("--rehearse", action="store_true", help="tiny models on the CPU")
    parser.add_argument("--result", type=Path, help="file of results; default benchmarks/results/gpu.json")
    parser.add_argument("--build", type=Path, help="folder of checkpoints and repositories; default build/gpu")
    arguments = parser.parse_args()
    models, settings = (TINY, REHEARSAL) if arguments.rehearse else (LARGE, GPU)
    build = arguments.build or (REHEARSED if arguments.rehearse else BUILD)
    results = Results(arguments.result or (REHEARSED / "gpu.json" if arguments.rehearse else RESULT))
    parts = parts_of(models, arguments.rehearse)
    chosen = fnmatch.filter(parts, arguments.part)
    if not chosen:
        parser.error(f"--part is {arguments.part!r}; needs a pattern for some of {', '.join(parts)}")
    ends_at = time.monotonic() + 60 * arguments.minutes
    bench = Bench(models, settings, build, results, about_device(settings.gpu))
    left = [part for part in chosen if not bench.measure(*parts[part], ends_at, arguments.again)]
    if left:
        print(f"left: {', '.join(left)}; the same command goes on with them", file=sys.stderr)
        sys.exit(1)


def parts_of(models: dict[str, Model], rehearse: bool) -> dict[str, tuple[str, str]]:
    """Return the parts in order, MODEL/PART -> (MODEL, PART); a rehearsal serves one model of each kind."""
    parts: dict[str, tuple[str, str]] = {}
    served: set[str] = set()
    for name, model in models.items():
        to_serve = precisions(model)
        if rehearse:
            to_serve = to_serve[:1] if model.kind not in served else ()
        served.add(model.kind)
        parts |= {f"{name}/{part}": (name, part) for part in (EXPORT, "parity", *to_serve)}
    return parts


class Bench:
    """The parts, on one machine."""

    def __init__(
        self, models: dict[str, Model], settings: Plan, build: Path, results: Results, device: dict[str, Any]
    ) -> None:
        self._models, self._plan, self._build, self._results, self._device = models, settings, build, results, device

    def measure(self, name: str, part: str, ends_at: float, again: bool) -> bool:
        """Measure a part, unless its figures are there; return whether they are there now."""
        title, about = f"{name}/{part}", {**self._device, "settings": self._plan.of(part)}
        known = self._results.figures(title, about)
        if known is not None and not again and (part != EXPORT or self._is_exported(name)):
            print(f"{title}: known: {json.dumps(known)}")
            return True
        try:
            with limited(min(self._plan.part_limit_s, ends_at - time.monotonic())):
                if part != EXPORT and not self._is_exported(name):
                    self._export(name)
                start = time.monotonic()
                figures = self._work(name, part)()
        except TooLong:
            print(f"{title}: not measured, for lack of time", file=sys.stderr)
            return False
        except Exception:  # noqa: BLE001  (the other parts are independent of it)
            traceback.print_exc()
            print(f"{title}: failed", file=sys.stderr)
            return False
        self._results.add(title, about, figures, time.monotonic() - start)
        print(f"{title}: {json.dumps(figures)}", flush=True)
        return True

    def _work(self, name: str, part: str) -> Callable[[], dict[str, Any]]:
        model, folder = self._models[name], self._build / name
        if part == EXPORT:
            return partial(self._export, name)
        if part == "parity":
            from gpu_bench import parity  # here, as below: PyTorch takes seconds to import, and most parts may be known

            return partial(parity.measure, model, folder, self._plan)
        return partial(self._serve, model, folder / part, is_first=part == precisions(model)[0])

    def _export(self, name: str) -> dict[str, Any]:
        folder = self._build / name
        shutil.rmtree(folder, ignore_errors=True)
        from gpu_bench import repositories

        sizes = repositories.export(self._models[name], folder, self._plan)
        (folder / DONE).write_text(json.dumps(self._export_key()), encoding="utf-8")
        return sizes

    def _is_exported(self, name: str) -> bool:
        done = self._build / name / DONE
        return done.is_file() and json.loads(done.read_text(encoding="utf-8")) == self._export_key()

    def _export_key(self) -> dict[str, Any]:
        return {"versions": self._device["versions"], "settings": self._plan.of(EXPORT)}

    def _serve(self, model: Model, repository: Path, is_first: bool) -> dict[str, Any]:
        from gpu_bench import service

        started = time.monotonic()
        with service.served(repository) as server:
            figures: dict[str, Any] = {"start_s": time.monotonic() - started}
            figures |= service.throughput(server, self._plan)
            if is_first:
                figures["latency"] = service.latency(server, self._plan, figures["mixed"]["requests_per_s"])
                if model.kind == "ctc":
                    figures["streams"] = service.streams(server, self._plan)
        return figures


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooLong in the block when its time is up.

    Raises:
        TooLong: as said, or there is no time at all.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    if seconds <= 0:
        raise TooLong
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()

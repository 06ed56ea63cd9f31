"""Compare the kit with other ways to run a real Whisper on a CPU: whisper-tiny.en, and human telephone prompts.

    python benchmarks/compare_whisper.py [--precisions fp32,int8] [--libraries …] [--rounds 5]
    python benchmarks/compare_whisper.py --hour
    python benchmarks/compare_whisper.py --live [--streams 1,4]

Without --hour or --live: one caller with ten recordings; eight callers; one long recording; and, for the kit alone, a
short recording behind one of 13 minutes. All contenders are in one run, and take turns in each round, in alternating
order. Ratios pair figures of the same round.

Models and recordings are downloaded (docs/real-models.md). The figures go to benchmarks/results/whisper.json, each part
on its own, and into docs/benchmarks-whisper.md. Nothing is skipped silently: what could not be made stands there, with
the reason.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import machine
from places import read_results
from whisper_bench import head_of_line, hour, live, speeds
from whisper_bench.contenders import Job, Kit
from whisper_bench.models import LIBRARIES, LONGEST_S, NAME, Models, prepare
from whisper_bench.page import RESULTS, write_page
from whisper_bench.speech import Prompt, join, read_prompts, spread_by_length, write, write_all, write_manifest

CLIPS = 10
PROMPTS = 80  # for the word error rates
LONG_S, BLOCK_S, SHORT_S, HOUR_S = 160.0, 780.0, 11.0, 3_600.0
STREAM_S = 120.0
PRECISIONS = ("fp32", "fp16", "int8")
PACKAGES = ("nvidia-pytriton", "onnxruntime", "tritonclient", "triton-asr-kit", "transformers", "torch")


def main() -> None:
    """Measure one part, write its figures and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hour", action="store_true", help="an hour in one recording, in place of the comparison")
    parser.add_argument("--live", action="store_true", help="live streams, in place of the comparison")
    parser.add_argument("--precisions", type=_names(PRECISIONS), default=["fp32", "int8"], help="of the kit")
    parser.add_argument(
        "--libraries", type=_names(LIBRARIES), default=list(LIBRARIES), help=f"comma-separated; {','.join(LIBRARIES)}"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--block-rounds", type=int, default=3, help="rounds with the recording of 13 minutes")
    parser.add_argument("--streams", type=_numbers, default=[1, 4], help="numbers of live streams")
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--hour-seconds", type=float, default=HOUR_S)
    parser.add_argument("--stream-seconds", type=float, default=STREAM_S)
    parser.add_argument("--results", type=Path, default=RESULTS, help="only the default one changes the page")
    arguments = parser.parse_args()
    if arguments.hour_seconds <= LONGEST_S:
        parser.error(f"--hour-seconds is {arguments.hour_seconds:g}; needs more than {LONGEST_S}, for `asr_long`")
    with tempfile.TemporaryDirectory(prefix="bench-whisper-") as folder:
        workplace = Path(folder)
        prompts = read_prompts(workplace)
        judged = Job(tuple(write_all(prompts[:: max(1, len(prompts) // arguments.prompts)], workplace / "judged")))
        libraries = [] if arguments.hour or arguments.live else arguments.libraries
        manifest = write_manifest(judged.clips, workplace / "manifest.tsv")
        print(f"{NAME}: converting and exporting", file=sys.stderr)
        models = prepare(libraries, arguments.precisions, manifest)
        for name, why in models.left_out.items():
            print(f"left out: {name}: {why}", file=sys.stderr)
        if not models.repositories:
            sys.exit("there is no model of the kit to measure")
        parts: dict[str, Any] = {}
        if arguments.hour:
            parts["hour"] = _hour(models, workplace, prompts, judged, arguments.hour_seconds)
        if arguments.live:
            parts["live"] = _live(models, prompts, arguments.streams, arguments.stream_seconds)
        if not parts:
            parts["comparison"] = _comparison(models, workplace, prompts, judged, arguments)
    results = read_results(arguments.results)
    for name, figures in parts.items():
        results[name] = {"machine": machine(PACKAGES), "left_out": models.left_out, **figures}
    arguments.results.parent.mkdir(exist_ok=True)
    arguments.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(parts, indent=2))
    if arguments.results == RESULTS:
        print(write_page(), file=sys.stderr)


def _comparison(
    models: Models, workplace: Path, prompts: Sequence[Prompt], judged: Job, arguments: argparse.Namespace
) -> dict[str, Any]:
    clips = write_all(spread_by_length(prompts, arguments.clips), workplace / "clips")
    long, block, short = (
        write(joined.samples, joined.text, workplace / f"{joined_s:g}.wav")
        for joined_s in (LONG_S, BLOCK_S, SHORT_S)
        for joined in [join(prompts, joined_s, f"{joined_s:g} s")]
    )
    alone, measured = speeds.one_caller(models, Job(tuple(clips)), arguments.rounds)
    crowd = Job((*measured.clips, *measured.clips), callers=speeds.CALLERS)
    everything = Job(judged.clips, callers=speeds.CALLERS)
    found = {
        "one_caller": alone,
        "eight_callers": speeds.eight_callers(models, crowd, everything, arguments.rounds, alone["unfit"]),
        "long_file": speeds.long_file(models, Job((long,), is_long=True), arguments.rounds),
        "head_of_line": {},
    }
    for precision, repository in models.repositories.items():
        with Kit(repository) as kit:
            kit.hear(Job((short,)))
            found["head_of_line"][f"kit-{precision}"] = head_of_line.measure(kit, short, block, arguments.block_rounds)
    return found


def _hour(models: Models, workplace: Path, prompts: Sequence[Prompt], judged: Job, seconds: float) -> dict[str, Any]:
    joined = join(prompts, seconds, "hour")
    recording = write(joined.samples, joined.text, workplace / "hour.wav")
    figures = {}
    for precision, repository in models.repositories.items():
        with Kit(repository) as kit:
            figures[f"kit-{precision}"] = hour.measure(kit, recording, Job(judged.clips, callers=speeds.CALLERS))
    return {"kits": figures}


def _live(models: Models, prompts: Sequence[Prompt], numbers: Sequence[int], seconds: float) -> dict[str, Any]:
    streams = [live.script(prompts, seconds, index) for index in range(max(numbers))]
    figures = {}
    for precision, repository in models.repositories.items():
        with Kit(repository) as kit:
            figures[f"kit-{precision}"] = [live.measure(kit.url, streams[:number]) for number in numbers]
    return {"kits": figures}


def _names(known: Sequence[str] | dict[str, Any]) -> Any:
    def read(value: str) -> list[str]:
        names = value.split(",") if value else []
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown name {unknown[0]!r}; choose from {', '.join(known)}")
        return names

    return read


def _numbers(value: str) -> list[int]:
    return [int(number) for number in value.split(",")]


if __name__ == "__main__":
    main()

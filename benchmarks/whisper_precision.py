"""Measure a Whisper in int8 against fp32 on a CPU: size, word error rate and speed, in one run.

    python benchmarks/whisper_precision.py CHECKPOINT MANIFEST [--rounds 3] [--timed 8]

Encoder and decoder in int8, and the decoder alone. Speed: all services live in one process, have one thread each, take
turns within a round, and transcribe some of the manifest's recordings, one and eight at a time. The benchmark counts
processor time, so that other work on the machine disturbs little; each ratio pairs figures of one round. The first
round only warms up. The gate of an export is left out.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from asr_contract.word_errors import compare
from asr_export.checkpoint.loading import locate
from asr_export.graph.word_errors import read_recordings
from asr_export.whisper import checkpoint as checkpoints
from asr_export.whisper.artefacts import write_artefacts
from asr_export.whisper.conversion import GRAPHS, write_converted
from asr_export.whisper.word_errors import transcribe
from asr_serving.whisper.graphs.names import DECODER
from asr_serving.whisper.service import Service
from tqdm import tqdm

PLAIN = "fp32"
VARIANTS = {"int8": GRAPHS, "int8, decoder alone": (DECODER,)}
AT_A_TIME = (1, 8)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timed", type=int, default=8, help="recordings whose time is taken, spread over the manifest")
    arguments = parser.parse_args()
    loaded = checkpoints.load(locate(arguments.checkpoint))
    waves, texts = read_recordings(arguments.manifest, loaded.settings.sampling_rate, 1, 600.0)
    with tempfile.TemporaryDirectory() as work:
        folders = write(loaded, Path(work))
        print("| | MB | word error rate | transcripts changed | ratio, 1 at a time | ratio, 8 at a time |")
        print("|---|---|---|---|---|---|")
        timed = waves[:: max(1, len(waves) // arguments.timed)]
        ratios = measure(folders, timed, arguments.rounds)
        expected: list[str] = []
        for name, folder in folders.items():
            found = transcribe(folder, waves, 16, lambda step: print(step, file=sys.stderr))
            expected = expected or found
            changed = sum(ours != theirs for ours, theirs in zip(found, expected, strict=True))
            size = sum(graph.stat().st_size for graph in folder.glob("*.onnx*")) / 1e6
            errors = 100 * (compare(zip(texts, found, strict=True)).wer or 0)
            speeds = " | ".join(f"{ratio:.2f}" for ratio in ratios[name])
            print(f"| {name} | {size:.0f} | {errors:.2f} % | {changed} of {len(waves)} | {speeds} |", flush=True)


def write(loaded: checkpoints.WhisperCheckpoint, work: Path) -> dict[str, Path]:
    """Write the artefacts of each variant into a folder of its own."""
    folders = {name: work / name for name in (PLAIN, *VARIANTS)}
    for folder in folders.values():
        folder.mkdir()
    write_artefacts(loaded, folders[PLAIN])
    for name, graphs in VARIANTS.items():
        write_converted(folders[PLAIN], folders[name], "int8", graphs, loaded)
    return folders


def measure(folders: dict[str, Path], waves: list, rounds: int) -> dict[str, list[float]]:  # type: ignore[type-arg]
    """Return for each variant how many times as fast as fp32 it is: medians, one and eight recordings at a time."""
    spent: dict[tuple[str, int], list[float]] = {(name, size): [] for name in folders for size in AT_A_TIME}
    with ExitStack() as stack:
        services = {name: stack.enter_context(Service.load(folder, threads=1)) for name, folder in folders.items()}
        for index in tqdm(range(rounds + 1), desc="rounds"):
            for size in AT_A_TIME:
                for name, service in services.items():
                    begun = time.process_time()
                    options = service.codec.options({})
                    for start in range(0, len(waves), size):
                        service.transcribe([(wave, options) for wave in waves[start : start + size]])
                    if index:
                        spent[name, size].append(time.process_time() - begun)
    return {
        name: [
            statistics.median(plain / ours for plain, ours in zip(spent[PLAIN, size], spent[name, size], strict=True))
            for size in AT_A_TIME
        ]
        for name in folders
    }


if __name__ == "__main__":
    main()

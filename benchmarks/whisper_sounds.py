"""Measure what a served Whisper writes where nobody speaks, without and with the voice detector (`vad=true`).

    python benchmarks/whisper_sounds.py REPOSITORY [--pairs 10]

REPOSITORY is an export of an English Whisper, such as the one that `make bench-whisper` leaves in build/bench. The
sounds are those of `tests/support/sounds.py`: each alone, for 3 and 45 s; and for 20, 35 and 12 s before, between and
behind two human telephone prompts, which are downloaded (docs/real-models.md). The table is that of
docs/voice-detector.md.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from asr_client import Client
from asr_contract.word_errors import compare
from asr_server import TritonServer
from numpy.typing import NDArray
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))  # its modules are neighbours, not a package

from real import speech
from sounds import RATE, SOUNDS

ALONE_S = (3, 45)
BEFORE_S, BETWEEN_S, BEHIND_S = 20, 35, 12
PROMPTS = 60
TIMEOUT_S = 300.0


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--pairs", type=int, default=10, help="recordings of two prompts for each sound")
    arguments = parser.parse_args()
    log: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        TritonServer(arguments.repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server,
        Client(server.grpc_url, timeout_s=TIMEOUT_S) as client,
    ):
        prompts = speech.prompts("en", Path(folder), PROMPTS)[: 2 * arguments.pairs]
        pairs = list(zip(prompts[::2], prompts[1::2], strict=True))
        print("| the sound | `vad` | alone | WER of the prompts, % |\n|---|---|---|---|")
        for name in tqdm(SOUNDS, unit="sound"):
            for vad in (False, True):
                alone = [client.transcribe(SOUNDS[name](s), sampling_rate=RATE, vad=vad).text for s in ALONE_S]
                said = [f"{one.text} {other.text}" for one, other in pairs]
                recordings = (between(name, one, other) for one, other in pairs)
                heard = [client.transcribe(audio, sampling_rate=RATE, vad=vad).text for audio in recordings]
                score = compare(zip(said, heard, strict=True))
                print(f"| {name} | {vad} | {alone} | {100 * score.word_errors / score.words:.1f} |", flush=True)


def between(name: str, one: speech.Recording, other: speech.Recording) -> NDArray[np.float32]:
    """Return two prompts with a sound before, between and behind them."""
    sound = SOUNDS[name]
    parts = [sound(BEFORE_S), one.samples(), sound(BETWEEN_S), other.samples(), sound(BEHIND_S)]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()

"""Estimate the demo's language model: bigrams of words, from sentences of the grammar that are not held out.

    python demo/make_language_model.py --output demo/language_model.arpa

IRSTLM (the Debian package irstlm) estimates the model; the seed alone determines the sentences. With text of your own,
one sentence a line between <s> and </s>, the same command makes a model of your domain.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from grammar import training_sentence

TLM = Path("/usr/lib/irstlm/bin/tlm")
SENTENCES = 20_000
ORDER = 2
RANDOM_ORDER = 0.01  # share of sentences without grammar, so that every word of the vocabulary is known
SEED = "language model"


def main() -> int:
    """Write the ARPA file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    output = parser.parse_args().output.resolve()
    if not TLM.exists():
        print(f"{TLM} is missing: apt-get install irstlm", file=sys.stderr)
        return 1
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        lines = (f"<s> {training_sentence(rng, random_order=RANDOM_ORDER)} </s>\n" for _ in range(SENTENCES))
        (Path(folder) / "text").write_text("".join(lines), encoding="utf-8")
        # Witten-Bell, because the counts of such text are too regular for Kneser-Ney.
        command = [str(TLM), "-tr=text", f"-n={ORDER}", "-lm=wb", "-bo=yes", f"-oarpa={output}"]
        subprocess.run(command, cwd=folder, stdout=sys.stderr, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

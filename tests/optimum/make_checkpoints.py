"""Write the checkpoints that optimum exports: `make_checkpoints.py OUT`, in the environment of this project.

They are made by the transformers of this project; the one of a user of optimum is in tests/data.
"""

import shutil
import sys
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "support" / "models"
SAVED_BY_4 = Path(__file__).parents[1] / "data" / "transformers-4.57" / "wav2vec2"


def main() -> None:
    """Write all checkpoints."""
    sys.path.insert(0, str(SUPPORT))
    import tiny_checkpoints
    import tiny_whisper

    out = Path(sys.argv[1])
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(SAVED_BY_4, out / "wav2vec2")
    tiny_checkpoints.write("hubert-group-norm", out / "hubert")
    tiny_checkpoints.write("sew", out / "sew")
    # optimum traces with the features of 30 seconds, whatever the checkpoint says.
    tiny_whisper.write("thirty-seconds", out / "whisper")


if __name__ == "__main__":
    main()

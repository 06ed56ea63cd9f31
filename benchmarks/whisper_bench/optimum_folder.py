"""Export a Whisper as `optimum-cli export onnx` does: `optimum_folder.py CHECKPOINT FOLDER`, where optimum is."""

import shutil
import sys
from pathlib import Path

from optimum.exporters.onnx import main_export


def main() -> None:
    """Write the folder: encoder, merged decoder, and the files of the checkpoint that optimum leaves out."""
    checkpoint, folder = map(Path, sys.argv[1:])
    main_export(str(checkpoint), folder, task="automatic-speech-recognition-with-past", do_validation=False)
    for file in checkpoint.glob("*.json"):
        if not (folder / file.name).exists():
            shutil.copy(file, folder)


if __name__ == "__main__":
    main()

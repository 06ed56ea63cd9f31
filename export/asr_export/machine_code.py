"""The decode step's search for hotwords as machine code: compiled once, and part of every export.

The compiler takes ten seconds, which a server would take at its first start, and each process of the decode step with
it. Its cache holds code for any processor of the kind, and is valid for copies of the source that keep its time.
"""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

from asr_export.model_folder import template_folder


def copy_to(decode_step: Path) -> None:
    """Put the compiler's cache where the decode step looks for it.

    Nothing where there is none: without numba here, or with a template that cannot be written. The server compiles
    then, if it has numba.
    """
    files = _compiled()
    if files:
        target = decode_step / "1" / "__pycache__"
        target.mkdir(exist_ok=True)
        for file in files:
            shutil.copyfile(file, target / file.name)


@functools.cache
def _compiled() -> tuple[Path, ...]:
    source = template_folder() / "ctc_decode" / "1"
    subprocess.run([sys.executable, "-B", "-c", "import spotting"], cwd=source, capture_output=True, check=False)
    return tuple(sorted((source / "__pycache__").glob("spotting.*.nb[ci]")))

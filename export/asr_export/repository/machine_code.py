"""The search for hotwords as machine code: compiled once, and part of every export.

The compiler takes ten seconds, which a server would take at its first start, and each process of the decode step with
it. Its cache holds code for any processor of the kind, and is valid for copies of the source that keep its time.
"""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import asr_serving

_FOLDER = Path("asr_serving", "ctc")
_CACHE = "__pycache__"


def copy_to(decode_step: Path) -> None:
    """Put the compiler's cache where the decode step looks for it.

    Nothing where there is none: without numba here, or where the installed package cannot be written. The server
    compiles then, if it has numba.
    """
    files = _compiled()
    if files:
        target = decode_step / "1" / _FOLDER / _CACHE
        target.mkdir(exist_ok=True)
        for file in files:
            shutil.copyfile(file, target / file.name)


@functools.cache
def _compiled() -> tuple[Path, ...]:
    program = "import asr_serving.ctc.spotting"
    subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, check=False)
    cache = Path(asr_serving.__file__).parent / "ctc" / _CACHE
    return tuple(sorted(cache.glob("spotting.*.nb[ci]")))

"""The compiled code of the search for hotwords: made once, and part of every export.

The compiler takes ten seconds. Without its cache, a server would spend them in each process of the decode step at its
first start. The cache holds code for every processor of the same kind, and is valid for copies of the source
that keep its modification time.
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
    """Copy the compiler's cache to the folder where the decode step looks for it.

    There is no cache, and nothing to copy, if numba is not installed or the installed package is not writable. The
    server then compiles, if it has numba.
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

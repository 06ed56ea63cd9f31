"""No sample leaves the reader that the decoder has not written: what lies in memory is someone else's recording."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from recordings import KINDS, recording

READER = Path(__file__).parents[2] / "support" / "poisoned_reader.py"
SHARES = (0.1, 0.4, 0.55, 0.75, 0.98)


def files() -> list[bytes]:
    """Each kind whole, twice, cut at several places, and with a hole."""
    made = []
    for data in map(recording, KINDS):
        middle = len(data) // 2
        made += [data, data + data, data[:middle] + bytes(500) + data[middle + 500 :]]
        made += [data[: int(share * len(data))] for share in SHARES]
    return made


def read(made: list[bytes], pattern: int, code: str = "") -> list[str]:
    """What a process makes of them whose memory is full of a pattern; `code` is a folder with another reader."""
    settings = {"MALLOC_PERTURB_": str(pattern), "MALLOC_MMAP_THRESHOLD_": str(2**30), "PYTHONPATH": code}
    done = subprocess.run(
        [sys.executable, READER, str(pattern)],
        input=b"".join(b"%d\n%s" % (len(data), data) for data in made),
        capture_output=True,
        check=True,
        env={**os.environ, **settings},
    )
    return done.stdout.decode().splitlines()


def test_samples_do_not_depend_on_what_was_in_memory() -> None:
    made = files()
    with ThreadPoolExecutor() as both:
        first, second = both.map(partial(read, made), (0x41, 0x5A))
    assert len(first) == len(made)
    assert [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]] == []


def test_an_array_that_nobody_has_filled_shows(tmp_path: Path) -> None:
    """The test above can fail: here is a reader that hands out memory as it is."""
    package = tmp_path / "asr_serving" / "audio"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "container.py").write_text(
        "import numpy as np\ndef blocks(file):\n    yield np.empty(16_000, np.float32), 16_000\n", encoding="utf-8"
    )
    (package / "waveform.py").write_text(
        "import numpy as np\ndef load(*a):\n    return np.zeros(1), 1\nLimits = lambda *a: a\n",
        encoding="utf-8",
    )
    assert read([b"x"], 0x41, str(tmp_path)) != read([b"x"], 0x5A, str(tmp_path))

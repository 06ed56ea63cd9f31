"""The disk fills up while an export writes: an error that says so, and what was there before stays."""

import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from asr_export import OutputError, export_checkpoint

CHECKPOINT = Path(__file__).parents[2] / "demo" / "checkpoint"
EXPORT_BYTES = 8_000_000  # about what an export of the demo checkpoint takes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with room for one export but not for two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={EXPORT_BYTES * 3 // 2}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def contents(folder: Path) -> dict[Path, str]:
    return {path: sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in folder.rglob("*")}


def test_an_export_without_room_says_so_and_leaves_the_older_one_as_it_was(repository: Path, small_disk: Path) -> None:
    older = small_disk / "models"
    shutil.copytree(repository, older)
    before = contents(small_disk)

    with pytest.raises(OutputError, match="No space left on device"):
        export_checkpoint(str(CHECKPOINT), older)

    assert contents(small_disk) == before

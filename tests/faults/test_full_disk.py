"""The disk fills up while an export writes: an error that says so, and what was there before stays."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from asr_export import OutputError, export_checkpoint

PAGE = resource.getpagesize()
CHECKPOINT = Path(__file__).parents[2] / "demo" / "checkpoint"


@pytest.fixture
def small_disk(repository: Path, tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with room for the repository and half of another one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    pages = sum(-(-path.stat().st_size // PAGE) for path in repository.rglob("*"))
    size = f"size={pages * PAGE * 3 // 2}"
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

"""A library's process reads files, keeps its workers busy, and answers in the order of the files."""

import queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from speech import RATE, from_samples
from whisper_bench.worker import Transcribe, read, work


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    found = []
    for number in range(1, 6):
        path = tmp_path / f"{number}.wav"
        path.write_bytes(from_samples(np.full(number * RATE // 10, 0.1 * number, np.float32)).file)
        found.append(str(path))
    return found


def test_samples_are_those_of_the_file(paths: list[str]) -> None:
    samples = read(paths[4])
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, np.full(RATE // 2, 0.5), atol=2**-15)


@pytest.mark.parametrize("is_long", [False, True])
def test_texts_come_in_the_order_of_the_files(paths: list[str], is_long: bool) -> None:
    heard: list[bool] = []

    def transcribe(samples: Any, long: bool) -> str:
        heard.append(long)
        return f" {len(samples)} "

    free: queue.Queue[Transcribe] = queue.Queue()
    free.put(transcribe)
    done = work(free, paths, callers=3, is_long=is_long)
    assert done["texts"] == [str(number * RATE // 10) for number in range(1, 6)]
    assert heard == [is_long] * 5
    assert done["seconds"] > 0
    assert free.qsize() == 1


def test_an_error_leaves_the_worker_free(paths: list[str]) -> None:
    def transcribe(samples: Any, long: bool) -> str:
        raise ValueError("no")

    free: queue.Queue[Transcribe] = queue.Queue()
    free.put(transcribe)
    with pytest.raises(ValueError, match="no"):
        work(free, paths, callers=1, is_long=False)
    assert free.qsize() == 1

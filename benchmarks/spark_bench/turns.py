"""Rounds in which contenders take turns: seconds, ratios within rounds, processor time, and whether all is there."""

import statistics
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil
from peers.figures import spread
from tqdm import tqdm

from spark_bench.contenders import Contender, Heard, processes
from spark_bench.recordings import Job

REFERENCE = "client"
MEMORY_EVERY_S = 0.2


def in_turns(title: str, contenders: Mapping[str, Contender], warm_up: Job, job: Job, rounds: int) -> dict[str, Any]:
    """Measure in rounds, in alternating order, when all have done a job that does not count.

    Returns:
        The figures, and how many recordings failed, or have not the text that the client got.
    """
    heard: dict[str, list[Heard]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender.hear(warm_up)
    with tqdm(total=rounds * len(contenders), desc=title) as progress, peaks() as most_mb:
        for number in range(rounds):
            for name in contenders if number % 2 == 0 else reversed(list(contenders)):
                heard[name].append(contenders[name].hear(job))
                progress.update()
    expected = heard[REFERENCE][0].texts
    return {
        "recordings": len(job.files),
        "audio_s": round(job.audio_s, 1),
        "file_mb": round(statistics.mean(file.stat().st_size for file in job.files) / 1e6, 3),
        "rounds": rounds,
        "errors": _most(heard, lambda texts: sum(text.startswith("error: ") for text in texts.values())),
        "different": _most(heard, lambda texts: sum(texts.get(name) != text for name, text in expected.items())),
        "most_mb": {kind: round(mb) for kind, mb in most_mb.items()},
        "contenders": figures(heard),
    }


def figures(heard: Mapping[str, list[Heard]]) -> dict[str, Any]:
    """Return, by contender, seconds, their ratios to the client's of the same round, and processor time a recording."""
    return {
        name: {
            "seconds": spread(one.seconds for one in ones),
            "to_client": spread(
                mine.seconds / theirs.seconds for mine, theirs in zip(ones, heard[REFERENCE], strict=True)
            ),
            "cpu_ms": round(statistics.median(1e3 * one.cpu_s / len(one.texts) for one in ones), 2),
        }
        for name, ones in heard.items()
    }


def _most(heard: Mapping[str, list[Heard]], count: Callable[[dict[str, str]], int]) -> int:
    return max(count(one.texts) for ones in heard.values() for one in ones)


@contextmanager
def peaks() -> Iterator[dict[str, float]]:
    """Give the largest resident memory of Spark's processes meanwhile, in MB: of the JVM, and of one Python worker."""
    most: dict[str, float] = defaultdict(float)
    end = threading.Event()

    def watch() -> None:
        while not end.wait(MEMORY_EVERY_S):
            try:
                for kind, process in processes():
                    most[kind] = max(most[kind], process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        end.set()
        thread.join()

"""Work on many items at a time, with results in the order of the items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How many results may wait for an earlier, slower one.
MAX_WAITING = 1024


def in_order(items: Iterable[Item], work: Callable[[Item], Result], concurrency: int) -> Iterator[Result]:
    """Yield `work(item)` of each item in the order of the items, with `concurrency` of them at a time.

    The caller's thread takes an item when a thread is free. An exception of any item is raised as soon as it is known,
    and ends the rest. When the caller stops early, the work under way goes on in the background.
    """
    source = iter(items)
    results: deque[Future[Result]] = deque()
    running: set[Future[Result]] = set()
    executor = ThreadPoolExecutor(concurrency, thread_name_prefix="asr-spark")
    exhausted = False
    try:
        while not exhausted or results:
            while not exhausted and len(running) < concurrency and len(results) < MAX_WAITING:
                try:
                    item = next(source)
                except StopIteration:
                    exhausted = True
                else:
                    future = executor.submit(work, item)
                    del item  # the next one may take long to come: do not hold this one's audio meanwhile
                    results.append(future)
                    running.add(future)
            if running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
            while results and results[0].done():
                yield results.popleft().result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)

"""Many recordings at once: bounded concurrency, results in the order of the items, memory that does not grow."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from asr_client._errors import InvalidOption
from asr_client._fork import Owner
from asr_client._results import Outcome

Item = TypeVar("Item")
OnProgress = Callable[[Outcome], None]

# How many outcomes (texts, not audio) may wait for an earlier, slower one.
MAX_WAITING = 1024


class _InOrder:
    """Puts outcomes into the order of their index."""

    def __init__(self) -> None:
        self._waiting: dict[int, Outcome] = {}
        self._next = 0

    def add(self, outcome: Outcome) -> None:
        self._waiting[outcome.index] = outcome

    def pop(self) -> Iterator[Outcome]:
        while self._next in self._waiting:
            self._next += 1
            yield self._waiting.pop(self._next - 1)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING


def check(items: object, concurrency: int) -> None:
    """Raise InvalidOption if `items` is a single recording, or if `concurrency` is below 1."""
    if _is_recording(items) or not isinstance(items, Iterable | AsyncIterable):
        raise InvalidOption(f"items is {type(items).__name__}; needs an iterable of recordings: for one, [recording]")
    if concurrency < 1:
        raise InvalidOption(f"concurrency is {concurrency}; needs 1 or more")


def _is_recording(items: object) -> bool:
    """Return whether an iterable is one recording: bytes, an open file, an array of numbers."""
    kind = getattr(getattr(items, "dtype", None), "kind", None)
    return (
        isinstance(items, str | bytes | bytearray | memoryview)
        or callable(getattr(items, "read", None))
        or kind in ("f", "i", "u", "b", "c")
    )


def in_threads(
    items: Iterable[Item],
    work: Callable[[int, Item], Outcome],
    concurrency: int,
    on_progress: OnProgress | None,
) -> Iterator[Outcome]:
    """Yield the outcomes of `work(index, item)` in the order of the items.

    The caller's thread takes an item when a place is free, and calls `on_progress` with each outcome as it comes. When
    the caller stops early, the requests under way go on in the background.

    Raises:
        ProcessForked: the process was forked meanwhile, and this is the child.
    """
    owner = Owner()
    numbered = enumerate(items)
    in_order = _InOrder()
    running: set[Future[Outcome]] = set()
    executor = ThreadPoolExecutor(concurrency, thread_name_prefix="asr-client")
    try:
        exhausted = False
        while running or not exhausted:
            while not exhausted and len(running) < concurrency and not in_order.is_full:
                entry = next(numbered, None)
                if entry is None:
                    exhausted = True
                else:
                    running.add(executor.submit(work, *entry))
                    del entry  # the next item may take long to come: do not hold this one's audio meanwhile
            owner.check("transcribe_iter")  # a forked process has none of the threads to wait for
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for outcome in (future.result() for future in done):
                if on_progress:
                    on_progress(outcome)
                in_order.add(outcome)
            yield from in_order.pop()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


async def in_tasks(
    items: Iterable[Item] | AsyncIterable[Item],
    work: Callable[[int, Item], Awaitable[Outcome]],
    concurrency: int,
    on_progress: OnProgress | None,
) -> AsyncIterator[Outcome]:
    """Yield the outcomes as `in_threads` does, from tasks of the running event loop.

    When the caller stops early, the requests under way are cancelled.
    """
    stream = asynchronous(items)
    in_order = _InOrder()
    running: set[asyncio.Future[Outcome]] = set()
    index = 0
    try:
        exhausted = False
        while running or not exhausted:
            while not exhausted and len(running) < concurrency and not in_order.is_full:
                try:
                    item = await anext(stream)
                except StopAsyncIteration:
                    exhausted = True
                else:
                    running.add(asyncio.ensure_future(work(index, item)))
                    index += 1
                    del item
            if running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for outcome in (future.result() for future in done):
                    if on_progress:
                        on_progress(outcome)
                    in_order.add(outcome)
            for outcome in in_order.pop():
                yield outcome
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def asynchronous(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    """Yield the items of a sync or async iterable."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item

"""The encoder beside the decoder: windows are encoded while others are being written."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from asr_serving.whisper.batch import Row
from asr_serving.whisper.graphs.backend import Backend, Encoded

Rows = list[Row]


class Encoder:
    """Encodes the windows of rows, one by one in lanes if the backend has them, and otherwise at once.

    A window that comes alone has all cores. Where there are as many windows as lanes, each has one core: the cores then
    never wait for each other.

    Args:
        backend: runs the graph.
        on_ready: called in another thread when a window is encoded.
    """

    def __init__(self, backend: Backend, on_ready: Callable[[], None]) -> None:
        self._backend, self._on_ready = backend, on_ready
        self._pool = ThreadPoolExecutor(backend.lanes, "encoder") if backend.lanes else None
        self._under_way: dict[Future[Encoded], Rows] = {}  # in the order in which they came
        self._is_wide = False  # the one that is under way has all cores

    @property
    def rows(self) -> Rows:
        """Return the rows whose windows have not been taken yet."""
        return [row for rows in self._under_way.values() for row in rows]

    @property
    def is_ready(self) -> bool:
        """Return whether there is something to take."""
        return any(future.done() for future in self._under_way)

    def places(self, waiting: int) -> int:
        """Return how many of the windows that wait can begin now."""
        if self._pool is None:
            return waiting
        if self._is_wide and self._under_way:
            return 0
        if not self._under_way and waiting < self._backend.lanes:
            return min(1, waiting)
        return min(self._backend.lanes - len(self._under_way), waiting)

    def start(self, rows: Rows) -> None:
        """Encode the windows of rows, not more than `places` says."""
        if not rows:
            return
        if self._pool is None:
            self._begin(rows)
            return
        self._is_wide = not self._under_way and len(rows) < self._backend.lanes
        for row in rows:
            future = self._pool.submit(self._backend.encode, row.task.features[None], not self._is_wide)
            self._under_way[future] = [row]
            future.add_done_callback(lambda _: self._on_ready())

    def take(self) -> list[tuple[Rows, "Future[Encoded]"]]:
        """Return the rows whose windows are encoded, with a window or an error for each."""
        done = [future for future in self._under_way if future.done()]
        return [(self._under_way.pop(future), future) for future in done]

    def close(self) -> None:
        """Finish what has begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _begin(self, rows: Rows) -> None:
        """Encode the windows of all rows at once, in this thread."""
        future: Future[Encoded] = Future()
        try:
            future.set_result(self._backend.encode(np.stack([row.task.features for row in rows])))
        except Exception as failed:  # noqa: BLE001 - raised by whoever takes the result, as those of lanes are
            future.set_exception(failed)
        self._under_way[future] = rows

"""What a benchmark starts and stops: ready inside its `with` block."""

from types import TracebackType
from typing import Self


class Startable:
    """A server or library that takes a while to be ready."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Load the model, or start the server and wait until it is ready."""
        raise NotImplementedError

    def stop(self) -> None:
        """End what `start` has started."""

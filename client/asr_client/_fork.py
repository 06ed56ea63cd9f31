"""Support for forked processes, which inherit objects and sockets, but not the threads behind them."""

import os
import weakref
from typing import Protocol

from asr_client._errors import ProcessForked


class Inherited(Protocol):
    """An object that a forked process cannot use as it is."""

    def after_fork(self) -> None:
        """Make the object usable in the forked process. It is called there before anything else runs."""


_registered: "weakref.WeakSet[Inherited]" = weakref.WeakSet()


def register(inherited: Inherited) -> None:
    """Call the object's `after_fork` in processes that are forked from this one, for as long as the object lives."""
    _registered.add(inherited)


def forget(inherited: Inherited) -> None:
    """Remove the registration, because there is nothing left to inherit."""
    _registered.discard(inherited)


def keep_forever(inherited: object) -> None:
    """Never destroy the object in this process.

    Its destruction would harm the parent: a closed event loop takes its sockets out of the epoll instance that both
    processes share, and the parent would never get its answers.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


class Owner:
    """The process that made an object."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Return whether this is that process, and not a fork of it."""
        return os.getpid() == self._pid

    def check(self, what: str) -> None:
        """Raise ProcessForked in a process that was forked from the owner."""
        if not self.is_here:
            raise ProcessForked(
                f"{what} was begun in process {self._pid}, and this is its fork {os.getpid()}: begin again here"
            )


def _after_fork_in_child() -> None:
    for inherited in list(_registered):
        inherited.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)

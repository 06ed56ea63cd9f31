"""Clients in a forked process, which inherits objects and sockets, but none of the threads behind them."""

import os
import weakref
from typing import Protocol

from asr_client._errors import ProcessForked


class Inherited(Protocol):
    """Something that a forked process cannot go on with as it is."""

    def after_fork(self) -> None:
        """Make the inherited object fit for the forked process; called there, before anything else runs in it."""


_registered: "weakref.WeakSet[Inherited]" = weakref.WeakSet()


def register(inherited: Inherited) -> None:
    """Have `after_fork` called in processes that are forked from this one, for as long as the object lives."""
    _registered.add(inherited)


def forget(inherited: Inherited) -> None:
    """Take the registration back: there is nothing left to inherit."""
    _registered.discard(inherited)


def keep_forever(inherited: object) -> None:
    """Never destroy the object in this process.

    Destroying it would reach into the parent: a closed event loop takes its sockets out of the epoll instance that both
    processes share, and the parent would wait for its answers in vain.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


class Owner:
    """The process that made something."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Return whether this is that process, and not one that was forked from it."""
        return os.getpid() == self._pid

    def check(self, what: str) -> None:
        """Raise ProcessForked in a process that was forked from the owner."""
        if not self.is_here:
            raise ProcessForked(
                f"{what} was begun in process {self._pid}, from which this one, {os.getpid()}, was forked: begin anew"
            )


def _after_fork_in_child() -> None:
    for inherited in list(_registered):
        inherited.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)

"""Probes, which watch a server during a step: its statistics at the edges, its processes in between."""

from typing import Any, Protocol

from asr_loadtest.results import MemberLoad, ResourceSample
from asr_loadtest.server_view import triton_statistics
from asr_loadtest.server_view.resources import Resources
from asr_loadtest.server_view.triton_statistics import MemberStatistics


class ServerProbe(Protocol):
    """Watches a server under load. Its methods do not raise: they leave out what cannot be read."""

    async def read(self) -> Any:
        """Return the counters of all members now, for `difference`."""

    def difference(self, before: Any, after: Any) -> tuple[MemberLoad, ...]:
        """Return what the members did between two readings."""

    def sample(self, at_s: float) -> ResourceSample | None:
        """Return what the server's processes take now, with `at_s` as its time; may block: call it in a thread."""


class ResourceProbe:
    """The probe of a server that has no statistics: it samples the processes."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def read(self) -> None:
        """See ServerProbe."""

    def difference(self, before: None, after: None) -> tuple[MemberLoad, ...]:
        """See ServerProbe."""
        return ()

    def sample(self, at_s: float) -> ResourceSample:
        """See ServerProbe."""
        return self._resources.sample(at_s)


class TritonProbe:
    """The probe of a server of this kit."""

    def __init__(self, statistics: MemberStatistics, resources: Resources) -> None:
        self._statistics, self._resources = statistics, resources

    async def read(self) -> triton_statistics.Snapshot:
        """See ServerProbe."""
        return await self._statistics.read()

    def difference(
        self, before: triton_statistics.Snapshot, after: triton_statistics.Snapshot
    ) -> tuple[MemberLoad, ...]:
        """See ServerProbe."""
        return triton_statistics.difference(before, after)

    def sample(self, at_s: float) -> ResourceSample:
        """See ServerProbe."""
        return self._resources.sample(at_s)

"""The base of the runners of both kinds of steps: recordings, baselines, and a watch over the server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from asr_loadtest.recordings import Recording
from asr_loadtest.results import Load
from asr_loadtest.server_view.probes import ServerProbe
from asr_loadtest.server_view.watch import Observation, watch
from asr_loadtest.steps.generator_process import punctual
from asr_loadtest.steps.settings import Settings
from asr_loadtest.transcripts import Baseline

_LEAD_S = 0.05  # before the start of the ramp, so that the first request is not late

Sent = TypeVar("Sent")


class StepRunner:
    """Runs the steps of a load test against a server.

    Args:
        recordings: are sent.
        baselines: their transcripts without load; None: transcripts are not compared.
        probe: watches the server; None: nothing does.
        settings: of all steps.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        baselines: Sequence[Baseline] | None,
        probe: ServerProbe | None,
        settings: Settings,
    ) -> None:
        self._recordings, self._baselines = recordings, baselines
        self._probe, self._settings = probe, settings

    async def _watched(self, load: Load, send: Callable[[float], Awaitable[Sent]]) -> tuple[Sent, Observation]:
        """Return what `send` returns, and what was observed meanwhile.

        Args:
            load: whose ramp and measurement are watched.
            send: called with the start of the ramp, by the clock of the event loop; returns when all is answered.
        """
        with punctual():
            start_s = asyncio.get_running_loop().time() + _LEAD_S
            watching = asyncio.create_task(watch(self._probe, start_s, load))
            sent = await send(start_s)
            return sent, await watching

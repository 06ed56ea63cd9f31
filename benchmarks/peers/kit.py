"""This kit: its exported repository on a real Triton, and its client over gRPC."""

import asyncio
from typing import Any, ClassVar

from asr_client import Client
from asr_export.choices import Precision
from asr_loadtest.server_view.triton_statistics import MemberStatistics, Snapshot, difference
from asr_server import TritonServer
from speech import Recording

from peers.peer import Peer

MODEL = "asr"


class Kit(Peer):
    """A peer that sends WAV files over gRPC to the kit, in float32."""

    precision: ClassVar[Precision] = "fp32"

    def start(self) -> None:
        self._log: list[str] = []
        self._server = TritonServer(
            self.setting.exported.repositories[self.precision],
            http_port=0,
            grpc_port=0,
            metrics_port=0,
            log=self._log.append,
        )
        self._server.start()
        self._client = Client(self._server.grpc_url, model=MODEL, timeout_s=300)
        self._before = asyncio.run(self._counters())

    def stop(self) -> None:
        self._client.close()
        self._server.stop()

    def run(self, recording: Recording) -> Any:
        return self._client.transcribe(recording.file).text

    def members_ms(self) -> dict[str, dict[str, float]]:
        before, self._before = self._before, asyncio.run(self._counters())
        return {
            load.model: {
                "queue": load.queue_ms,
                "input": load.input_ms,
                "infer": load.infer_ms,
                "output": load.output_ms,
            }
            for load in difference(before, self._before)
        }

    async def _counters(self) -> Snapshot:
        async with MemberStatistics(self._server.grpc_url, "grpc", MODEL) as statistics:
            return await statistics.read()


class KitInt8(Kit):
    """The kit in int8."""

    precision = "int8"

"""A straightforward FastAPI + transformers server under uvicorn (`fastapi_app`), in a process of its own."""

import http.client
import json
import os
import threading
from typing import Any

from asr_server.ports import Ports, reserve
from speech import Recording

from peers.peer import Peer
from peers.process import ServerProcess

HOST = "127.0.0.1"


class FastApiServer(Peer):
    """A peer that sends WAV files over HTTP; each caller keeps its connection."""

    def start(self) -> None:
        self._port = reserve(HOST, Ports(0, 0, 0)).http
        self._own = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        environment = {
            **os.environ,
            "CHECKPOINT": str(self.setting.exported.checkpoint),
            "OMP_NUM_THREADS": str(self.setting.cores),
        }
        command = ["-m", "uvicorn", "peers.fastapi_app:app", "--host", HOST, "--port", str(self._port)]
        # Callers keep their connections longer than the default of uvicorn.
        options = ["--no-access-log", "--timeout-keep-alive", "3600"]
        self._process = ServerProcess([*command, *options], environment, self.setting.scratch / "fastapi.log")
        self._process.wait_until(self._is_ready)

    def stop(self) -> None:
        for connection in self._connections:
            connection.close()
        self._process.stop()

    def run(self, recording: Recording) -> Any:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(HOST, self._port, timeout=300)
            self._connections.append(self._own.connection)
        connection = self._own.connection
        connection.request("POST", "/transcribe", recording.file, {"Content-Type": "audio/wav"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"FastAPI answers {response.status}: {body[:500]!r}")
        return json.loads(body)["text"]

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=5)
        try:
            connection.request("GET", "/ready")
            with connection.getresponse() as response:
                return response.status == 200
        except OSError:
            return False
        finally:
            connection.close()

"""PyTriton with its `@batch` decorator (`pytriton_app`), in a process of its own."""

import os
from typing import Any

import tritonclient.grpc
from asr_server.installation import find_libpython
from asr_server.ports import Ports, reserve
from speech import Recording

from peers.peer import Peer
from peers.process import ServerProcess

HOST = "127.0.0.1"
MODEL = "wav2vec2"


class PyTritonServer(Peer):
    """A peer that sends samples over gRPC: the callers decode the recordings beforehand."""

    def start(self) -> None:
        ports = reserve(HOST, Ports(0, 0, 0))
        # Its Triton loads the shared library of Python, and looks for it only where the system does.
        libraries = [str(find_libpython().parent), os.environ.get("LD_LIBRARY_PATH", "")]
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
            "OMP_NUM_THREADS": str(self.setting.cores),
        }
        arguments = ["peers/pytriton_app.py", str(self.setting.exported.checkpoint)]
        self._process = ServerProcess(
            [*arguments, str(ports.grpc), str(ports.http), str(ports.metrics)],
            environment,
            self.setting.scratch / "pytriton.log",
        )
        self._client = tritonclient.grpc.InferenceServerClient(f"{HOST}:{ports.grpc}")
        self._process.wait_until(self._is_ready)

    def stop(self) -> None:
        self._client.close()
        self._process.stop()

    def run(self, recording: Recording) -> Any:
        audio = tritonclient.grpc.InferInput("audio", [1, len(recording.samples)], "FP32")
        audio.set_data_from_numpy(recording.samples[None])
        return self._client.infer(MODEL, [audio]).as_numpy("text")[0, 0].decode()

    def _is_ready(self) -> bool:
        try:
            return bool(self._client.is_model_ready(MODEL))
        except tritonclient.grpc.InferenceServerException:
            return False

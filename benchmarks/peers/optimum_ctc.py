"""optimum's `ORTModelForCTC`, as its documentation uses it: its own export of the checkpoint in onnxruntime.

It gets one decoded recording after the other, in a process with an environment of its own (`make parity-optimum` sets
it up), because optimum-onnx needs an older transformers. `optimum_worker` is that process.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from speech import Recording

from peers.peer import Peer

PYTHON = Path(__file__).parents[2] / ".venv-optimum" / "bin" / "python"


class Optimum(Peer):
    """A peer that uses all cores for each recording."""

    callers = 1

    def start(self) -> None:
        if not PYTHON.exists():
            raise RuntimeError("optimum has no environment yet: run `make parity-optimum`, or leave it out by --peers")
        self._process = subprocess.Popen(
            [
                *(PYTHON, Path(__file__).with_name("optimum_worker.py"), self.setting.exported.checkpoint),
                *(self.setting.scratch / "optimum", str(self.setting.cores)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read()

    def stop(self) -> None:
        with self._process:  # closes the pipes, which ends it, and waits
            pass

    def run(self, recording: Recording) -> Any:
        samples = recording.samples.astype("<f4").tobytes()
        assert self._process.stdin is not None
        self._process.stdin.write(len(samples).to_bytes(4, "little") + samples)
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"optimum's process has ended with status {self._process.wait(15)}")
        return json.loads(line)

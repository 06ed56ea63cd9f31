"""The loading of a stranger's graph by ONNX Runtime, tried in a process of its own, because it may crash."""

import signal
import subprocess
import sys
from pathlib import Path

from asr_export.errors import GraphError

_LOAD = """
import sys, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
try:
    onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
except Exception as error:
    sys.exit(f"{error}")
"""


def require_loadable(path: Path) -> None:
    """Load a graph, and let go of it.

    Raises:
        GraphError: ONNX Runtime refuses it, or crashes; ONNX Runtime 1.31 does so with some graphs of float16.
    """
    done = subprocess.run([sys.executable, "-c", _LOAD, str(path)], capture_output=True, text=True)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise GraphError(f"ONNX Runtime crashes ({name}) as it loads {path}: choose another variant, or export it anew")
    if done.returncode:
        raise GraphError(f"ONNX Runtime does not load {path}: {' '.join(done.stderr.split())}")

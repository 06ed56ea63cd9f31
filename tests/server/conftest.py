"""A fake tritonserver, for everything about starting and stopping that needs no real one; the stand-in backend."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import asr_server
import fake_backend_host
import pytest

FAKE_TRITONSERVER = """#!{python} -IS
import http.server, json, os, pathlib, signal, subprocess, sys, threading

options = dict(argument[2:].split("=", 1) for argument in sys.argv[1:] if "=" in argument)
mode = os.environ.get("FAKE_TRITON", "")
print("arguments", json.dumps(sys.argv[1:]), flush=True)
print("heaps", os.environ["MALLOC_ARENA_MAX"], flush=True)
if mode == "dies":
    sys.exit('E1123 05:35:48.4 8070 main.cc:1] "something broke"')
if mode == "port taken":
    sys.exit('E1123 05:35:48.4 8070 main.cc:1] "failed to start HTTP service: Socket already in use "')
if mode == "stubborn":  # ignores SIGTERM, has a child in another session, and shared memory
    signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
    prefix = next(a for a in sys.argv if "shm-region-prefix-name" in a).split("=")[-1]
    pathlib.Path("/dev/shm", prefix + "region").touch()
    print("child", child.pid, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if mode == "never ready" else 200)
        self.end_headers()

    def do_POST(self):
        if mode == "dies when ready":
            os._exit(1)
        self.do_GET()
        if mode == "garbles its index":
            return
        self.wfile.write(b'[{{"name": "tiny", "version": "1", "state": "READY"}}]')

    def log_message(self, *args):
        pass


for service in ("http", "metrics"):
    server = http.server.ThreadingHTTPServer((options[service + "-address"], int(options[service + "-port"])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
if mode != "stubborn":
    signal.sigwait([signal.SIGTERM])
    sys.exit(0)
while True:
    signal.pause()
"""


@pytest.fixture
def fake_tritonserver(tmp_path: Path) -> Path:
    """A program that takes tritonserver's options and answers health checks; FAKE_TRITON says what it does wrong."""
    program = tmp_path / "bin" / "tritonserver"
    program.parent.mkdir()
    program.write_text(FAKE_TRITONSERVER.format(python=sys.executable))
    program.chmod(0o755)
    return program


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model repository that passes the checks before the start."""
    folder = tmp_path / "models"
    (folder / "tiny").mkdir(parents=True)
    return folder


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file that Triton loads, imported as Triton does: its folder is on the path, pb_utils exists."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", fake_backend_host.pb_utils())
    monkeypatch.delitem(sys.modules, "model", raising=False)
    monkeypatch.syspath_prepend(Path(asr_server.__file__).parent / "backends" / "onnxruntime")
    module = importlib.import_module("model")
    monkeypatch.delitem(sys.modules, "model")  # other tests may have a model.py of their own
    return module

"""When a server that is to stop has nothing under way."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from asr_contract import gpu
from asr_server import guard


@pytest.fixture(params=["while True: pass", "time.sleep(60)"], ids=["busy", "idle"])
def process(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    """A process, and whether it has something to do."""
    code = f"import time; print(flush=True)\n{request.param}"
    with subprocess.Popen([sys.executable, "-ISc", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.5)  # it begins
        yield child.pid, "sleep" not in request.param
        child.kill()


def test_a_process_that_gets_no_time_is_not_idle(process: tuple[int, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine whose processors others take: no time is seen to pass for it."""
    pid, is_busy = process
    monkeypatch.setattr(guard, "_ticks", lambda _: 0)
    monkeypatch.setattr(guard, "_CHECK_S", 0.1)
    load = guard._Load(pid, Path("no such file"))
    for _ in range(3):
        time.sleep(0.06)
        load.look()
    assert load.is_idle() is not is_busy


def test_a_process_that_waits_for_a_gpu_is_not_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "gpu-work"
    work.touch()
    monkeypatch.setattr(guard, "_CHECK_S", 0.1)
    wait = "import time\nfrom asr_contract import gpu\nwith gpu.under_way(): print('waits', flush=True); time.sleep(60)"
    environment = {**os.environ, gpu.WORK_FILE: str(work)}
    with subprocess.Popen([sys.executable, "-c", wait], env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        load = guard._Load(child.pid, work)
        found = []
        for is_waiting in (True, False):
            for _ in range(3):
                time.sleep(0.06)
                load.look()
            found.append(load.is_idle())
            if is_waiting:
                child.kill()  # the kernel unlocks the file
                child.wait()
    assert found == [False, True]


def test_without_a_guard_work_is_not_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gpu.WORK_FILE, raising=False)
    with gpu.under_way():
        pass
    monkeypatch.setenv(gpu.WORK_FILE, "/no/such/file")
    with gpu.under_way():
        pass


def test_the_end_of_a_process_is_no_error() -> None:
    assert guard._wants_to_run(2**22 + 1) is False

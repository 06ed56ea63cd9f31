"""When a server that is to stop has nothing under way."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from asr_server import guard


@pytest.fixture(params=["while True: pass", "import time; time.sleep(60)"], ids=["busy", "idle"])
def process(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    """A process, and whether it has something to do."""
    with subprocess.Popen([sys.executable, "-ISc", request.param]) as child:
        time.sleep(0.5)  # it starts
        yield child.pid, "sleep" not in request.param
        child.kill()


def test_a_process_that_gets_no_time_is_not_idle(process: tuple[int, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine whose processors others take: no time is seen to pass for it."""
    pid, is_busy = process
    monkeypatch.setattr(guard, "_ticks", lambda _: 0)
    monkeypatch.setattr(guard, "_CHECK_S", 0.1)
    load = guard._Load(pid)
    for _ in range(3):
        time.sleep(0.06)
        load.look()
    assert load.is_idle() is not is_busy


def test_the_end_of_a_process_is_no_error() -> None:
    assert guard._wants_to_run(2**22 + 1) is False

"""Programs that others have written for OpenAI's API hear by way of the gateway what the kit's client hears.

They have an environment of their own, and each runs in a process of its own: `tests/programs/callers`.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import gateway_service
import jiwer
import pytest
from asr_client import Client
from asr_server import TritonServer

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-programs" / "bin" / "python"
CALLERS = Path(__file__).parent / "callers"
SAMPLE = ROOT / "demo" / "samples" / "quilter.wav"
WAYS = {
    "litellm": {"json": 1, "verbose_json": 1, "text": 1},
    "livekit": {"recording, asr": 1, "recording, whisper-1": 1, "stream": 2},
    "openai_agents": {"recording": 1, "semantic_vad": 2, "server_vad": 2},
    "pipecat": {"recording": 2, "commits": 2, "server_vad": 2},
}
MOST_WER = 0.1  # a stream's samples are resampled twice

pytestmark = [pytest.mark.programs, pytest.mark.e2e, pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def api(server: TritonServer) -> Iterator[str]:
    with gateway_service.running(server.grpc_url) as gateway:
        yield gateway.api


@pytest.mark.parametrize("program", WAYS)
def test_a_program_hears_what_the_client_hears(program: str, api: str, server: TritonServer) -> None:
    with Client(server.grpc_url) as client:
        expected = client.transcribe(SAMPLE).text
    done = subprocess.run(
        [PYTHON, CALLERS / f"call_{program}.py", api, SAMPLE], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    heard = json.loads(done.stdout)
    assert {way: len(turns) for way, turns in heard.items()} == WAYS[program]
    for way, turns in heard.items():
        assert jiwer.wer([expected] * len(turns), turns) <= MOST_WER, (way, turns)

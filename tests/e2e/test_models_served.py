"""What a real Triton says of its models, and a client for each of them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from asr_client import AsyncClient, Client, ModelInfo, ModelNotFound
from asr_server import TritonServer

pytestmark = pytest.mark.e2e
DEMO = ModelInfo("asr", takes_long=True, takes_streams=True, knows_languages=False)


def test_the_models_of_a_server(server: TritonServer, client: Client) -> None:
    assert client.models() == (DEMO,)
    with Client(server.http_url, protocol="http") as http:
        assert http.models() == (DEMO,)

    async def ask() -> tuple[ModelInfo, ...]:
        async with AsyncClient(server.grpc_url) as asked:
            return await asked.models()

    assert asyncio.run(ask()) == (DEMO,)


def test_the_command(server: TritonServer) -> None:
    command = [sys.executable, "-m", "triton_asr", "models", "-u", server.grpc_url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [ModelInfo(**model) for model in json.loads(done.stdout)] == [DEMO]


def test_a_client_for_a_model_that_is_there_and_for_one_that_is_not(
    server: TritonServer, samples: dict[Path, str]
) -> None:
    recording = next(iter(samples))
    with Client(server.grpc_url, model="other") as client:
        text = client.with_model("asr").transcribe(recording).text
        assert text
        with pytest.raises(ModelNotFound) as caught:
            client.check_model()
        assert caught.value.public == "there is no model 'other'; it has asr"
        assert client.with_model("asr").transcribe(recording).text == text

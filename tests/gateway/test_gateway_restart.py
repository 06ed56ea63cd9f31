"""A gateway outlives its server."""

import urllib.error
import urllib.request
from pathlib import Path

import gateway_service
import openai
import pytest
from spark_service import SAMPLES, kill, serving, wait_until

pytestmark = pytest.mark.e2e
FILE = SAMPLES / "telephone.wav"


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 503:
            raise
        return False


def test_a_server_that_comes_goes_and_comes_back(demo_repository: Path) -> None:
    server = serving(demo_repository)
    with (
        server,
        gateway_service.running(server.grpc_url, "--max-wait", "1") as gateway,
        # Of a request that does not end within its bound, the SDK's own error would come.
        openai.OpenAI(base_url=gateway.api, api_key="any", max_retries=0, timeout=60) as sdk,
    ):
        text = sdk.audio.transcriptions.create(file=FILE, model="asr").text
        assert text
        assert is_healthy(gateway.url)
        kill(server)
        wait_until(lambda: not is_healthy(gateway.url))
        with pytest.raises(openai.InternalServerError) as away:
            sdk.audio.transcriptions.create(file=FILE, model="asr")
        assert away.value.code == "server_unavailable"
        server.start()
        wait_until(lambda: is_healthy(gateway.url))
        assert sdk.audio.transcriptions.create(file=FILE, model="asr").text == text

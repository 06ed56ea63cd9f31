"""`triton-asr serve --gateway` with a real Triton: OpenAI's SDK calls it, and what is under way is answered."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from gateway_speech import SAMPLES, minutes_of
from serve_service import Served, ended, served

pytestmark = pytest.mark.e2e


@pytest.fixture
def both(demo_repository: Path) -> Iterator[Served]:
    with served(demo_repository) as running:
        yield running


def test_both_serve_and_end_in_their_order(both: Served) -> None:
    assert both.ready[-2:] == ["(models:", "asr)"]
    with openai.OpenAI(base_url=f"{both.page}v1", api_key="any", max_retries=0) as sdk:
        assert [model.id for model in sdk.models.list()] == ["asr"]
        short = sdk.audio.transcriptions.create(file=SAMPLES / "quilter.wav", model="whisper-1").text
        assert short
        texts: list[str] = []

        def ask() -> None:
            file = ("minutes.wav", minutes_of(6))
            texts.append(sdk.audio.transcriptions.create(file=file, model="asr").text)

        asking = threading.Thread(target=ask)
        asking.start()
        while not under_way(sdk):
            assert asking.is_alive()
        both.process.send_signal(signal.SIGTERM)
        asking.join(60)
    assert len(texts[0]) > 20 * len(short)  # six minutes of speech, while the command was ending
    assert ended(both.process)[0] == 0


def under_way(sdk: openai.OpenAI) -> bool:
    page = sdk.with_options(base_url=str(sdk.base_url).removesuffix("v1/")).get("metrics", cast_to=str)
    return "asr_gateway_requests_under_way 1.0" in page

"""Models, probes and figures."""

import asyncio
import re
from typing import Any

import pytest
from asr_client import AsrError, AsyncClient, RetryPolicy, ServerUnavailable
from asr_client._calls.protocol import ListModels, ModelReady, Operation
from asr_gateway.app import GatewayOptions
from asr_gateway.errors import ApiError
from asr_gateway.health import Health
from asr_gateway.models import ALIASES, Models
from gateway_app import Kit, Service, app, service
from starlette.testclient import TestClient

ONCE = RetryPolicy(max_attempts=1)


class Changing(Kit):
    """A server that is away, or that gets a model."""

    is_away = False
    listed = 0
    others: tuple[str, ...] = ()

    def send(self, operation: Operation[Any], timeout_s: float | None) -> Any:
        if self.is_away:
            raise ServerUnavailable("127.0.0.1:8001 is away")
        if isinstance(operation, ListModels):
            self.listed += 1
            return (*super().send(operation, timeout_s), *self.others)
        if isinstance(operation, ModelReady):
            return operation.model == "asr"
        return super().send(operation, timeout_s)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_models_are_listed_without_their_helpers(called: Service) -> None:
    assert called.http.get("/v1/models").json() == {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 0, "owned_by": "triton-asr-kit"} for name in ("asr", "whisper")
        ],
    }


@pytest.mark.parametrize(
    ("asked", "model"), [("asr", "asr"), ("whisper", "whisper"), ("whisper-1", "asr"), ("", "asr")]
)
def test_names_and_aliases(called: Service, asked: str, model: str) -> None:
    assert called.post(model=asked).status_code == 200
    assert called.kit.seen[-1].model == model
    if asked:
        assert called.http.get(f"/v1/models/{asked}").json()["id"] == model


def test_aliases_and_the_default_are_options() -> None:
    options = GatewayOptions(default_model="whisper", aliases={**ALIASES, "openai/tiny": "asr", "asr": "whisper"})
    with service(options=options) as called:
        heard = [called.http.get(f"/v1/models/{name}").json()["id"] for name in ("whisper-1", "openai/tiny", "asr")]
    assert heard == ["whisper", "asr", "asr"]  # a model's own name goes first


@pytest.mark.parametrize("name", ["gpt-4o", "asr_long", "../asr", "x" * 1000])
def test_a_model_that_is_not_there(called: Service, name: str) -> None:
    answer = called.post(model=name)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "there is asr, whisper" in error["message"]
    assert len(error["message"]) < 200


def test_a_new_model_is_found_and_unknown_names_do_not_flood_the_server() -> None:
    async def run() -> None:
        kit, clock = Changing(), Clock()
        models = Models(AsyncClient(transport=kit.asynchronous(), retry=ONCE), "asr", clock=clock)
        await models.named("asr")
        kit.others = ("new",)
        for _ in range(5):
            with pytest.raises(ApiError):
                await models.named("new")
        assert kit.listed == 1
        clock.now = 2
        assert (await models.named("new")).name == "new"
        assert kit.listed == 2
        for _ in range(5):
            await models.named("asr")
        assert kit.listed == 2

    asyncio.run(run())


def test_the_list_outlives_a_server_that_is_away() -> None:
    async def run() -> None:
        kit, clock = Changing(), Clock()
        models = Models(AsyncClient(transport=kit.asynchronous(), retry=ONCE), "asr", clock=clock)
        await models.named("asr")
        kit.is_away, clock.now = True, 100
        assert (await models.named("asr")).name == "asr"
        fresh = Models(AsyncClient(transport=kit.asynchronous(), retry=ONCE), "asr", clock=clock)
        with pytest.raises(AsrError):
            await fresh.named("asr")

    asyncio.run(run())


def test_all_who_wait_for_the_list_ask_once() -> None:
    async def run() -> list[Any]:
        kit = Changing()
        kit.is_away = True
        models = Models(AsyncClient(transport=kit.asynchronous(), retry=ONCE), "asr")
        away = await asyncio.gather(*(models.all() for _ in range(3)), return_exceptions=True)
        kit.is_away = False
        first, *others = [asyncio.ensure_future(models.all()) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        there = await asyncio.gather(*others)
        assert kit.listed == 1
        return [*map(type, away), *map(list, there)]

    assert asyncio.run(run()) == [ServerUnavailable] * 3 + [["asr", "whisper"]] * 2


def test_health_is_that_of_the_default_model() -> None:
    kit = Changing()
    with TestClient(app(kit.asynchronous()), base_url="http://localhost") as http:
        assert [http.get(f"/health{path}").status_code for path in ("", "/ready", "/live")] == [200] * 3
    with TestClient(
        app(kit.asynchronous(), GatewayOptions(default_model="other")), base_url="http://localhost"
    ) as http:
        assert [http.get(f"/health{path}").status_code for path in ("", "/ready", "/live")] == [503, 503, 200]


def test_health_follows_the_server_and_is_not_asked_by_every_probe() -> None:
    async def run() -> list[int]:
        kit, clock = Changing(), Clock()
        health = Health(AsyncClient(transport=kit.asynchronous(), retry=ONCE), clock)
        seen = []
        for kit.is_away, clock.now in ((False, 0.0), (True, 0.5), (True, 2.0), (False, 4.0)):
            seen.append((await health.ready(None)).status_code)  # type: ignore[arg-type]
        return seen

    assert asyncio.run(run()) == [200, 200, 503, 200]


def figures(called: Service) -> dict[str, float]:
    """The gateway's own figures by name and labels."""
    page = called.http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    found = re.findall(r"^(asr_gateway_\S+?(?:\{.*?\})?) (\S+)$", page.text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_figures(called: Service) -> None:
    for _ in range(2):
        called.post(model="whisper-1")
    called.post(response_format="xml")
    called.http.get("/v1/models/x")
    called.http.get("/v1/models/y")
    called.http.get("/nowhere/1")
    seen = figures(called)
    total = "asr_gateway_requests_total"
    path = "/v1/audio/transcriptions"
    assert seen[f'{total}{{reason="ok",route="{path}",status="200"}}'] == 2
    assert seen[f'{total}{{reason="invalid_value",route="{path}",status="400"}}'] == 1
    assert seen[f'{total}{{reason="model_not_found",route="/v1/models/{{id:path}}",status="404"}}'] == 2
    assert seen[f'{total}{{reason="unknown_url",route="other",status="404"}}'] == 1
    assert seen['asr_gateway_audio_seconds_total{model="asr"}'] == 3.0
    assert seen['asr_gateway_stage_seconds_count{stage="server"}'] == 2
    assert seen['asr_gateway_stage_seconds_count{stage="upload"}'] == 2  # without the form that was refused
    assert seen["asr_gateway_requests_under_way"] == 0

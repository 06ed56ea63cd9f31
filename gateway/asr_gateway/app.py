"""The ASGI app of the gateway."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from asr_client import AsyncClient
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from asr_gateway.assets import Assets
from asr_gateway.audio import Audio
from asr_gateway.front import Front
from asr_gateway.health import Health
from asr_gateway.keys import Keys
from asr_gateway.limits import LimitOptions, Limits
from asr_gateway.metrics import Metrics
from asr_gateway.models import ALIASES, Models, described
from asr_gateway.origins import Origins
from asr_gateway.realtime.endpoint import Realtime
from asr_gateway.realtime.sockets import Sockets


@dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """What a gateway does, besides its keys."""

    default_model: str = "asr"  # of requests that name none
    aliases: Mapping[str, str] = field(default_factory=lambda: ALIASES)  # other name -> model; "": the default one
    limits: LimitOptions = field(default_factory=LimitOptions)
    origins: Collection[str] = ()  # of foreign pages that may call; "*" for all
    hosts: Collection[str] = ()  # names of the gateway besides addresses and localhost; "*" for all


def create_app(client: AsyncClient, options: GatewayOptions, keys: Keys) -> Front:
    """Return the app.

    Args:
        client: of the servers. Its settings hold for every request; the app does not close it.
        options: what the gateway does.
        keys: who may call.
    """
    metrics = Metrics()
    limits = Limits(options.limits)
    sockets = Sockets(options.limits.sockets)
    models = Models(client, options.default_model, options.aliases)
    health = Health(client.with_model(options.default_model))
    page = Assets(keys.are_needed)

    async def all_models(request: Request) -> Response:
        known = sorted((await models.all()).values(), key=lambda model: model.name != options.default_model)
        return JSONResponse({"object": "list", "data": [described(model) for model in known]})

    async def one_model(request: Request) -> Response:
        return JSONResponse(described(await models.named(request.path_params["id"])))

    async def figures(request: Request) -> Response:
        return metrics.page()

    def audio(path: str, endpoint: Audio) -> Route:
        return Route(f"/v1/audio/{path}", endpoint, methods=["POST"])

    routes: list[Route | WebSocketRoute] = [
        audio("transcriptions", Audio("transcribe", models, limits, metrics)),
        audio("translations", Audio("translate", models, limits, metrics)),
        WebSocketRoute("/v1/realtime", Realtime(models, limits, sockets, metrics)),
        Route("/v1/models", all_models),
        Route("/v1/models/{id:path}", one_model),
        Route("/health", health.ready),
        Route("/health/ready", health.ready),
        Route("/health/live", health.live),
        Route("/metrics", figures),
        Route("/", page.index),
        Route("/page/settings.json", page.settings),
        Route("/page/{name:path}", page.file),
    ]
    return Front(routes, keys, Origins(options.origins, options.hosts), metrics, sockets)

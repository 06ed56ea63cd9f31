"""The outermost part of the app: who may ask, and what everybody gets: a request id, an error in shape, a count."""

import logging
from collections.abc import Sequence

from asr_client import AsrError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from asr_gateway import errors
from asr_gateway.errors import ApiError
from asr_gateway.exchange import CALLER_GONE, Exchange
from asr_gateway.keys import Keys
from asr_gateway.metrics import Metrics
from asr_gateway.origins import Origins
from asr_gateway.realtime.sockets import Sockets

_API = "/v1/"  # what needs a key
_OTHER = "other"  # than the routes
_PROBES = "/health"  # their Host is whatever the machine that asks calls this one
_KEY_PROTOCOL = "openai-insecure-api-key."  # with the key behind it, among the subprotocols of a WebSocket
_EXPECTED = (ApiError, AsrError, HTTPException)  # of all others, the log needs the traceback
_logger = logging.getLogger("asr_gateway")


class Front:
    """The ASGI app: it admits requests, lets the route's endpoint answer, and answers what that raises.

    Args:
        routes: what there is.
        keys: who may call.
        origins: from where.
        metrics: counts.
        sockets: of the routes.
    """

    def __init__(
        self,
        routes: Sequence[Route | WebSocketRoute],
        keys: Keys,
        origins: Origins,
        metrics: Metrics,
        sockets: Sockets,
    ) -> None:
        # Starlette's own app would have two more layers for exceptions, before this one.
        self._router = Router(routes)
        self._routes = routes
        self._keys = keys
        self._origins = origins
        self._metrics = metrics
        self._sockets = sockets

    async def stop(self) -> None:
        """Close all sockets, because the gateway ends."""
        await self._sockets.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or serve a WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._router(scope, receive, send)
            return
        scope["app"] = self  # the router then raises what it has no route for
        headers = Headers(scope=scope)
        exchange = Exchange.begin(scope, headers.get("x-request-id"))
        send = exchange.sending(send, {"x-request-id": exchange.request_id, **self._origins.headers(headers)})
        try:
            await self._admitted(scope, headers, exchange)(scope, receive, send)
        except Exception as error:
            has_begun = exchange.status != 0  # its answer
            if has_begun or not isinstance(error, _EXPECTED):
                _logger.exception("request %s: the gateway failed", exchange.request_id)
            if not has_begun:
                await _answered(scope, error)(scope, receive, send)
        finally:
            # Without an answer the server is stopping.
            reason = exchange.reason if exchange.status else "stopped"
            self._metrics.answered(self._label(scope), exchange.status or CALLER_GONE, reason)

    def _admitted(self, scope: Scope, headers: Headers, exchange: Exchange) -> ASGIApp:
        """Return what answers the request.

        Raises:
            ApiError: the caller may not ask.
        """
        path = scope["path"]
        if not path.startswith(_PROBES):
            self._origins.check(headers)
        if scope.get("method") == "OPTIONS" and "access-control-request-method" in headers:
            return Response(status_code=204, headers=self._origins.preflight(headers))  # browsers send no key with it
        exchange.caller = _address(scope)
        if path.startswith(_API):
            exchange.caller = self._keys.caller(_authorization(scope, headers)) or exchange.caller
        if scope["type"] == "websocket" and self._label(scope) == _OTHER:
            raise _unknown_url(scope)  # Starlette would say 403
        return self._router

    def _label(self, scope: Scope) -> str:
        """Return the path of the route, of which there are few."""
        if "route" in scope:  # as the router has chosen it
            return str(scope["route"].path)
        found = (route.path for route in self._routes if route.matches(scope)[0] is not Match.NONE)
        return next(found, _OTHER)


def _answered(scope: Scope, error: Exception) -> Response:
    """Return the answer for an exception, and write to the log what only the log may say."""
    exchange = Exchange.of(scope)
    if isinstance(error, ApiError):
        told = error
    elif isinstance(error, AsrError):
        told = errors.of_client(error)
    elif isinstance(error, HTTPException):
        told = _of_http(scope, error)
    else:
        told = errors.unexpected(exchange.request_id)
    exchange.reason = told.code
    level = logging.WARNING if told.status >= 500 else logging.INFO
    _logger.log(level, "request %s: %d %s: %s", exchange.request_id, told.status, told.code, error)
    return JSONResponse(told.body(), told.status, told.headers)


def _of_http(scope: Scope, error: HTTPException) -> ApiError:
    if error.status_code == 404:
        return _unknown_url(scope)
    if error.status_code == 405:
        message = f"Not allowed: {_asked(scope)}. The header 'allow' has the methods that are."
        return ApiError(405, "method_not_allowed", message, headers=error.headers)
    return ApiError(error.status_code, "invalid_request", str(error.detail), headers=error.headers)


def _unknown_url(scope: Scope) -> ApiError:
    message = f"Unknown request URL: {_asked(scope)}. See docs/gateway.md for what there is."
    return ApiError(404, "unknown_url", message)


def _asked(scope: Scope) -> str:
    return f"{scope.get('method', 'WebSocket')} {scope['path'][:200]}"


def _authorization(scope: Scope, headers: Headers) -> str | None:
    """Return the Authorization header, or what pages send in its place: they cannot set headers of a WebSocket."""
    if (header := headers.get("authorization")) is not None:
        return header
    offered = (name for name in scope.get("subprotocols", ()) if name.startswith(_KEY_PROTOCOL))
    return next((f"Bearer {name.removeprefix(_KEY_PROTOCOL)}" for name in offered), None)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""

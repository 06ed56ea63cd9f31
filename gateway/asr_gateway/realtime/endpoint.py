"""The WebSocket of the Realtime API."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from asr_client import AsrError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from asr_gateway import errors
from asr_gateway.connections import CallerGone
from asr_gateway.errors import ApiError
from asr_gateway.exchange import CALLER_GONE, Exchange
from asr_gateway.limits import Limits
from asr_gateway.metrics import Metrics
from asr_gateway.models import Models
from asr_gateway.realtime import wire
from asr_gateway.realtime.listening import Listener
from asr_gateway.realtime.machine import Find, Machine, Output
from asr_gateway.realtime.settings import Kind, Settings
from asr_gateway.realtime.sockets import Sockets
from asr_gateway.realtime.wire import Event
from asr_gateway.realtime.work import Backlog, Begin, Flush, Push

GOING_AWAY, INTERNAL_ERROR = 1001, 1011  # codes that close a socket
_SENDING_S = 30.0  # longest time in which a caller may read nothing
_BETA_HEADER = ("openai-beta", "realtime=v1")
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
_logger = logging.getLogger("asr_gateway")


@dataclass(frozen=True)
class Realtime:
    """A WebSocket with audio in, its text out.

    It is an ASGI app, and answers what is wrong with the handshake by errors, which become answers of HTTP.
    """

    models: Models
    limits: Limits
    sockets: Sockets
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a socket until it is closed.

        Raises:
            ApiError: it cannot be opened.
            AsrError: no server could say which models there are.
        """
        with self.sockets.place(), self.metrics.socket():
            websocket = WebSocket(scope, receive, send)
            model = await self.models.named(websocket.query_params.get("model", ""))
            machine = Machine(
                secrets.token_hex(10),
                _settings(websocket),
                model,
                self.limits.upload_bytes,
                partial(self.limits.count, Exchange.of(scope).caller),
            )
            await _Session(websocket, machine, self.models, self.metrics).run(self.sockets.stopping)


class _Session:
    """One socket."""

    def __init__(self, websocket: WebSocket, machine: Machine, models: Models, metrics: Metrics) -> None:
        self._websocket = websocket
        self._machine = machine
        self._models = models
        self._metrics = metrics
        self._exchange = Exchange.of(websocket.scope)
        self._backlog = Backlog()
        self._order = asyncio.Lock()  # outputs are sent in the order in which the machine gives them

    async def run(self, stopping: asyncio.Event) -> None:
        """Accept the socket, and serve it until the caller goes or the gateway stops."""
        listener = Listener(
            self._machine, self._backlog, self._tell, self._models, self._metrics, self._exchange.request_id
        )
        try:
            await self._websocket.accept(_subprotocol(self._websocket.scope["subprotocols"]))
            await self._tell(self._machine.opened)
            await _first(self._read(), listener.run(), stopping.wait())
            if stopping.is_set():
                await self._websocket.close(GOING_AWAY, "The gateway stops.")
        except (CallerGone, WebSocketDisconnect):
            pass  # that is how sockets end
        except Exception:
            _logger.exception("request %s: the gateway failed", self._exchange.request_id)
            self._exchange.failed(500, "internal_error")
            with suppress(WebSocketDisconnect):
                await self._websocket.close(INTERNAL_ERROR, "The gateway failed.")

    async def _read(self) -> None:
        """Take the caller's messages until they end. While too much audio waits, none is read."""
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            text: str | None = message.get("text")
            await self._tell(partial(self._machine.received, message.get("bytes") if text is None else text))
            await self._backlog.room()

    async def _tell(self, outputs: Callable[[], Sequence[Output]]) -> None:
        """Send what the machine says, and keep its work.

        Raises:
            CallerGone: the caller does not read.
        """
        async with self._order:
            for output in outputs():
                match output:
                    case Find(name):
                        for event in await self._find(name):
                            await self._send(event)
                    case Begin() | Push() | Flush():
                        self._backlog.put(output)
                    case _:
                        await self._send(output)

    async def _find(self, name: str) -> list[Event]:
        try:
            model = await self._models.named(name)
        except ApiError as error:
            return self._machine.refused(error)
        except AsrError as error:
            return self._machine.refused(errors.of_client(error))
        return self._machine.found(model)

    async def _send(self, event: Event) -> None:
        if (outcome := wire.outcome(event)) is not None:
            self._metrics.item(outcome)
        try:
            async with asyncio.timeout(_SENDING_S):
                # Halves of characters, which callers can send, are escaped.
                await self._websocket.send_text(json.dumps(event))
        except TimeoutError:
            self._exchange.failed(CALLER_GONE, "caller_reads_nothing")
            raise CallerGone from None


async def _first(*work: Coroutine[Any, Any, object]) -> None:
    """Do all of this at once until one of them ends, and raise what it raised. The others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in work]
    for task in tasks:
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # only the first error counts
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _settings(websocket: WebSocket) -> Settings:
    """Return the settings that the handshake asks for."""
    name, value = _BETA_HEADER
    is_beta = websocket.headers.get(name) == value or _BETA_SUBPROTOCOL in websocket.scope["subprotocols"]
    is_transcription = websocket.query_params.get("intent") == "transcription"
    kind: Kind = "realtime" if "model" in websocket.query_params and not is_transcription else "transcription"
    return Settings(kind=kind, is_beta=is_beta, model=websocket.query_params.get("model", ""))


def _subprotocol(offered: list[str]) -> str | None:
    """Return the protocol that the gateway speaks, of those that a caller offers: browsers want one of them."""
    return next((name for name in offered if not name.startswith("openai-")), None)

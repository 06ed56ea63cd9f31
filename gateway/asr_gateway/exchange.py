"""A request and its answer, as the log and the metrics see them."""

import re
import secrets
from dataclasses import dataclass

from starlette.types import Message, Scope, Send

_KEY = "asr_gateway.exchange"
_REQUEST_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
CALLER_GONE = 499  # as nginx counts it; nobody gets it
SWITCHED = 101  # the answer to the handshake of a socket that is accepted
_BEGINNINGS = ("http.response.start", "websocket.http.response.start", "websocket.accept")


@dataclass
class Exchange:
    """What is known of a request, and of its answer as soon as there is one."""

    request_id: str
    caller: str = ""  # the owner of the key, or the address where no key is needed
    status: int = 0
    reason: str = "ok"  # or the code of the error

    @staticmethod
    def begin(scope: Scope, asked_id: str | None) -> "Exchange":
        """Return a new one, which belongs to the scope.

        Args:
            scope: of the request.
            asked_id: the id that a proxy or the caller has given to the request, if any.
        """
        is_valid = asked_id is not None and _REQUEST_ID.fullmatch(asked_id)
        exchange = Exchange(str(asked_id) if is_valid else f"req_{secrets.token_hex(16)}")
        scope[_KEY] = exchange
        return exchange

    @staticmethod
    def of(scope: Scope) -> "Exchange":
        """Return the one of this scope."""
        found = scope[_KEY]
        assert isinstance(found, Exchange)
        return found

    def failed(self, status: int, reason: str) -> None:
        """Say why there is no good answer."""
        self.status = status
        self.reason = reason

    def sending(self, send: Send, headers: dict[str, str]) -> Send:
        """Return `send` with these headers in the answer, whose status is then known here."""
        added = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

        async def sending(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                self.status = message.get("status", SWITCHED)
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        return sending

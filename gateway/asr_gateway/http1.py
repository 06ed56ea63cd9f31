"""HTTP/1.1 as uvicorn reads it with httptools, which takes less time than h11, and without its two traps.

httptools keeps a head, or a trailer behind a body, of any size (https://github.com/vllm-project/vllm/pull/23267).
And it drops the body of a request that offers another protocol, as Java's clients offer HTTP/2 with their first one
(https://github.com/Kludex/uvicorn/issues/2722).
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 2**10  # of a head, or between two pieces of a body; the read that goes beyond it is the last one
_OFFER = b"upgrade"


class Http1(HttpToolsProtocol):
    """A connection. It ends when too much comes that is no body, and takes no offer but that of a WebSocket."""

    _other_bytes = 0  # that came since the last piece of a body

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._unset_keepalive_if_required()
        self._other_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._without_offer(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
        else:
            if self._other_bytes > MOST_HEAD_BYTES:
                self._refuse("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head has to be read again."""
        if self._is_declined():
            return
        self._other_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on."""
        self._other_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of the request."""
        if not self._is_declined():
            super().on_message_complete()

    def _is_declined(self) -> bool:
        return bool(self.parser.should_upgrade()) and not self._should_upgrade()

    def _without_offer(self, rest: bytes) -> None:
        """Read the request as if it offered nothing: its head is known, its body is the beginning of the rest."""
        if all(name != _OFFER for name, _ in self.headers):  # it is CONNECT, which is for proxies
            self._refuse("This is no proxy.")
            return
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % (name, value) for name, value in self.headers if name != _OFFER]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", b""]) + rest)

    def _refuse(self, why: str) -> None:
        if not self.transport.is_closing():
            self.send_400_response(why)

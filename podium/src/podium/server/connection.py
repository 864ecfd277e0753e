"""One client connection: uvicorn's, within bounds. Whatever is refused before there is a request is a problem document too.

A head has a size and a deadline, a body has to keep coming, and connections have a number: beyond any of them the client is told
which limit it was, and is let go. What a client must not do cannot hold a descriptor for long.
"""

import asyncio
from functools import partial
from typing import Any, NamedTuple, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from podium import log
from podium.protocol.errors import HeadTooLarge, InvalidRequest, PodiumError, TooMany, TooSlow
from podium.protocol.ids import new_id
from podium.web import problem

MAX_HEADERS = 100
MIN_BODY_BYTES_PER_S = 1024
LINGER_S = 1.0
"""How long what a refused client still sends is read and dropped, so that the reason reaches it before a reset does."""
SAY_EVERY_S = 1.0
_logger = log.get("connection")


class ConnectionLimits(NamedTuple):
    """Bounds of connections; durations in seconds."""

    connections: int = 10_000
    head_bytes: int = 32 * 1024
    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    keep_alive_s: int = 75


def connections(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """What uvicorn makes for each connection it accepts."""
    return cast(type[asyncio.Protocol], partial(Connection, limits=limits))


class Connection(HttpToolsProtocol):
    """A connection that keeps `limits`."""

    silent_until = 0.0

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._in_head = False
        self._head_bytes = 0
        self._fed_bytes = 0
        self._refused = False
        self._upgraded = False
        self._deadline: asyncio.TimerHandle | None = None

    # ---- uvicorn's protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or say why not."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(_too_many(len(self.connections) - 1, self._limits.connections))
        else:
            self._deadline = self.loop.call_later(self._limits.head_timeout_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; what is not whole yet gets a deadline."""
        if self._refused:
            return
        super().data_received(data)
        if self._refused or self._upgraded or self.transport.is_closing():
            return
        self._fed_bytes += len(data)
        if self._in_head or self.cycle is None or self.cycle.response_complete:
            self._bound_head(self._fed_bytes)
            self._deadline = self._deadline or self.loop.call_later(self._limits.head_timeout_s, self._head_is_late)
        elif self.cycle.more_body:
            self._deadline = self._deadline or self.loop.call_later(self._limits.body_timeout_s, self._body_is_late)

    def handle_websocket_upgrade(self) -> None:
        """From here on it is the socket's, which has bounds of its own."""
        self._upgraded = True
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._fed_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. What comes behind a body in chunks is bounded like a head and dropped: nothing here reads trailers."""
        self._head_bytes += len(name) + len(value) + 4
        if self._in_head:
            super().on_header(name, value)
        else:
            self._bound_head(self._head_bytes)

    def on_headers_complete(self) -> None:
        """The head is whole: the request starts, if it is within bounds."""
        self._in_head = False
        self._fed_bytes = 0
        self._forget_deadline()
        self._bound_head(self._head_bytes)
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        if not self._refused:
            self._forget_deadline()
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP."""
        self._refuse(InvalidRequest("this is not HTTP/1.1 (RFC 9112): check the request line, the headers and their lengths"))

    # ---- bounds

    def _bound_head(self, size_bytes: int) -> None:
        if size_bytes > self._limits.head_bytes:
            self._refuse(_head_too_large(self._limits.head_bytes))
        elif len(self.headers or ()) > MAX_HEADERS:
            self._refuse(HeadTooLarge(f"the request has more than {MAX_HEADERS} headers", limit=MAX_HEADERS))

    def _head_is_late(self) -> None:
        self._deadline = None
        if self._in_head:
            self._refuse(_too_slow("head", self._limits.head_timeout_s))
        else:
            self.transport.close()

    def _body_is_late(self) -> None:
        """Once in `body_timeout_s`: enough has to have come, unless it was us who did not read."""
        self._deadline = None
        if self.cycle.response_complete or not self.cycle.more_body:
            return
        enough = self._fed_bytes >= MIN_BODY_BYTES_PER_S * self._limits.body_timeout_s
        if enough or self.flow.read_paused:
            self._fed_bytes = 0
            self._deadline = self.loop.call_later(self._limits.body_timeout_s, self._body_is_late)
        else:
            self._refuse(_too_slow("body", self._limits.body_timeout_s))

    def _forget_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _tell(self, error: PodiumError, request_id: str) -> None:
        """In the log, at most once in SAY_EVERY_S: whoever is refused can try again at once."""
        now = self.loop.time()
        if now >= Connection.silent_until:
            Connection.silent_until = now + SAY_EVERY_S
            _logger.warning("connection refused", code=error.code, detail=error.detail, client=self.client, request_id=request_id)

    def _refuse(self, error: PodiumError) -> None:
        """Say why, unless an answer is on its way; then nothing more is read from this client."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._forget_deadline()
        self.connections.discard(self)
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        request_id = new_id("req")
        self._tell(error, request_id)
        if answering:
            self.transport.close()
            return
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_raw(error, request_id))
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def _raw(error: PodiumError, request_id: str) -> bytes:
    response = problem(error, request_id)
    lines = [b"HTTP/1.1 %d \r\n" % response.status_code]
    lines += [b"%s: %s\r\n" % header for header in response.raw_headers]
    return b"".join([*lines, b"connection: close\r\n\r\n", bytes(response.body)])


def _too_many(current: int, limit: int) -> TooMany:
    return TooMany(
        f"{current} connections are open and the limit is {limit}: close some, or raise MAX_CONNECTIONS",
        retry_after_s=1, limit=limit, current=current,
    )  # fmt: skip


def _head_too_large(limit: int) -> HeadTooLarge:
    return HeadTooLarge(
        f"the request line and headers are larger than {limit} bytes: send fewer or shorter ones, or raise MAX_REQUEST_HEAD_SIZE",
        limit=limit,
    )


def _too_slow(part: str, limit_s: float) -> TooSlow:
    return TooSlow(
        f"the {part} of the request came too slowly: {limit_s:g} s are allowed, see REQUEST_{part.upper()}_TIMEOUT",
        retry_after_s=1, limit=int(limit_s),
    )  # fmt: skip

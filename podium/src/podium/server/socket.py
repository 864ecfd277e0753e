"""One WebSocket, plugged into the HTTP server, which hands it the connections that ask for an upgrade.

`websockets` does the handshake, reads frames and closes. What goes out are bytes of whole frames made elsewhere, often hundreds
in one write: a server's frames are not masked, so that their bytes are the same for every reader.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import uvicorn
from starlette.responses import Response
from starlette.websockets import WebSocket
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.http11 import Response as HandshakeResponse
from websockets.protocol import State
from websockets.server import ServerProtocol

from podium.protocol.errors import PodiumError, Unavailable
from podium.web import as_podium_error, problem, request_id_of

EXTENSION = "podium.socket"
CLOSE_TIMEOUT_S = 5.0
MAX_WAITING_FRAMES = 16
SUBPROTOCOL = "podium"
RESTART = "this part of the platform restarts: connect again with the cursor of the last event"
MAX_REASON_BYTES = 123


class SocketClosed(ConnectionError):
    """Nothing more goes in or out."""


class Socket(asyncio.Protocol):
    """A connection in one of three steps: `accept` or `reject` it, then `receive` and `write`, then `close`."""

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any], _loop: object = None
    ) -> None:
        self._app = cast(Any, config.loaded_app)
        self._connections = server_state.connections
        self._tasks = server_state.tasks
        self._protocol = ServerProtocol(max_size=0)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._handshake: Handshake | None = None
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._fragments: list[bytes] = []
        self._rate = _Rate(0.0)
        self._closing: asyncio.TimerHandle | None = None
        self._gone = False

    # ---- what a handler does with it

    @property
    def open(self) -> bool:
        """Whether it was accepted, and not closed since."""
        return self._protocol.state is State.OPEN

    @property
    def handshake(self) -> Handshake:
        """The request that asked for the upgrade."""
        assert self._handshake
        return self._handshake

    def accept(self, *, max_message_bytes: int, frames_per_s: float) -> None:
        """Open it. A frame beyond either limit closes it, with the reason. SocketClosed for a request that is no handshake."""
        response = self._protocol.accept(self.handshake)
        offered = self.handshake.headers.get("sec-websocket-protocol", "")
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS and SUBPROTOCOL in map(str.strip, offered.split(",")):
            response.headers["Sec-WebSocket-Protocol"] = SUBPROTOCOL
        self._protocol.max_message_size = max_message_bytes
        self._rate = _Rate(frames_per_s)
        self._protocol.send_response(response)
        self._flush()
        if self._protocol.state is not State.OPEN:
            raise SocketClosed("the request is not a WebSocket handshake")
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def reject(self, response: Response) -> None:
        """Answer the request for the upgrade with something else."""
        body = bytes(response.body)
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers])
        headers["Connection"] = "close"
        status = HTTPStatus(response.status_code)
        self._protocol.send_response(HandshakeResponse(status.value, status.phrase, headers, body))
        self._flush()

    async def receive(self) -> bytes:
        """The next message of the client. SocketClosed."""
        while not self._waiting:
            if self._gone or self._closing:
                raise SocketClosed("the client has gone")
            self._arrived.clear()
            await self._arrived.wait()
        data = self._waiting.popleft()
        if len(self._waiting) < MAX_WAITING_FRAMES and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes of whole frames; returns when there is room for more. SocketClosed."""
        if self._gone or self._closing:
            raise SocketClosed("the client has gone")
        self._transport.write(data)
        await self._writable.wait()

    def close(self, code: int, reason: str) -> None:
        """Say why, wait a little for the client to agree, then close. Idempotent."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, _cut(reason))
            self._flush()
        self._end()

    # ---- what the server does with it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server hands over a connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(cast(Any, self))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._gone = True
        self._connections.discard(cast(Any, self))
        if self._closing:
            self._closing.cancel()
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """The client does not take what is sent: writers wait. The kernel ends a connection that takes nothing for long."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self._writable.set()

    def shutdown(self) -> None:
        """The server stops."""
        if self._protocol.state is State.OPEN:
            self.close(CloseCode.SERVICE_RESTART, RESTART)
        elif not self._transport.is_closing():
            self._transport.close()

    def eof_received(self) -> None:
        """The client sends nothing more: a WebSocket without that half is over."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Handshake):
                self._begin(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()
        protocol = self._protocol
        if protocol.handshake_exc or protocol.parser_exc or protocol.state in (State.CLOSING, State.CLOSED):
            self._end()
        elif len(self._waiting) >= MAX_WAITING_FRAMES:
            self._transport.pause_reading()

    # ---- inside

    def _begin(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._run(_scope(self, handshake)))
        task.add_done_callback(self._tasks.discard)
        self._tasks.add(task)

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, _never, self._send)
        finally:
            if self._protocol.state is State.CONNECTING and not self._transport.is_closing():
                self._transport.close()
            self.close(CloseCode.INTERNAL_ERROR, "an unexpected error inside the platform")

    async def _send(self, message: dict[str, Any]) -> None:
        """All that the dispatcher says itself: there is no such route."""
        assert message["type"] == "websocket.close"
        self.reject(Response(status_code=404))

    def _take(self, frame: Frame) -> None:
        if self._closing:
            return
        if not self._rate.take():
            self.close(CloseCode.POLICY_VIOLATION, f"more than {self._rate.per_s:g} frames a second: wait for the receipts")
        elif frame.opcode is Opcode.BINARY:
            self.close(CloseCode.UNSUPPORTED_DATA, "frames are JSON text, not binary")
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                self._arrive(b"".join(self._fragments))
                self._fragments.clear()

    def _arrive(self, message: bytes) -> None:
        try:
            message.decode()
        except UnicodeDecodeError as error:
            self.close(CloseCode.INVALID_DATA, f"a frame is not UTF-8: {error}")
            return
        self._waiting.append(message)
        self._arrived.set()

    def _flush(self) -> None:
        if self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:  # to close with input unread would reset the connection, and the reason be lost: the client closes
                self._transport.write_eof()

    def _end(self) -> None:
        """No more reading or writing; cut the connection where the client does not close it soon."""
        if self._closing is None and not self._gone:
            self._closing = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._transport.abort)
            if not self._transport.is_closing():
                self._transport.resume_reading()
        self._arrived.set()
        self._writable.set()


class _Rate:
    """A bucket of `per_s` tokens that fills in a second."""

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self._left = per_s
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self.per_s, self._left + (now - self._at) * self.per_s) - 1
        self._at = now
        return self._left >= 0


def socket_of(websocket: WebSocket) -> Socket:
    """The connection behind what the dispatcher gives a handler."""
    socket: Socket = websocket.scope["extensions"][EXTENSION]
    return socket


@contextlib.asynccontextmanager
async def rejecting(websocket: WebSocket) -> AsyncIterator[str]:
    """The request id. What goes wrong before the socket is open answers the handshake, as a problem document."""
    request_id = request_id_of(websocket)
    try:
        yield request_id
    except SocketClosed:
        pass
    except Exception as error:  # noqa: BLE001 - the boundary: nothing but problem documents leaves
        known, socket = as_podium_error(error, request_id), socket_of(websocket)
        if socket.open:
            socket.close(close_code(known), known.detail)
        else:
            socket.reject(problem(known, request_id))


def close_code(error: PodiumError) -> int:
    """1013, try again later, where that may help; else 4000 + its HTTP status, as 4404."""
    if isinstance(error, Unavailable):
        return CloseCode.TRY_AGAIN_LATER
    return 4000 + error.status if error.status < 500 else CloseCode.INTERNAL_ERROR


def _scope(socket: Socket, handshake: Handshake) -> dict[str, Any]:
    path, _, query = handshake.path.partition("?")
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in handshake.headers.raw_items()]
    return {
        "type": "websocket", "path": unquote(path), "raw_path": path.encode("ascii"), "query_string": query.encode("ascii"),
        "headers": headers, "subprotocols": [], "extensions": {EXTENSION: socket}, "state": {},
    }  # fmt: skip


def _cut(reason: str) -> str:
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


async def _never() -> dict[str, Any]:
    raise SocketClosed("read the socket itself")

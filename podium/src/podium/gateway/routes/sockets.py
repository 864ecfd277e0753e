"""WebSockets of clients: authenticated here, held open here, answered by the instance's owner."""

from collections.abc import AsyncGenerator
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from podium.auth import Caller, Keys
from podium.gateway.held import HeldStream
from podium.gateway.proxy import Proxy
from podium.protocol.errors import InvalidRequest, TooMany
from podium.protocol.events import Receipt
from podium.protocol.forms import form
from podium.protocol.frames import ClientFrame
from podium.protocol.routes import ROUTES
from podium.server.conversation import converse
from podium.server.parameters import checker
from podium.server.socket import rejecting, socket_of
from podium.web import authorization, instance_id

BEARER = "bearer."
_PARAMETERS = ("after", "names")
_check = checker(next(route for route in ROUTES if route.name == "agent_socket"))


class AgentSockets:
    """`WS /agent/{instance_id}`. At most `most` at once."""

    def __init__(self, keys: Keys, proxy: Proxy, max_message_bytes: int, frames_per_s: float, most: int) -> None:
        self._keys = keys
        self._proxy = proxy
        self._max_message_bytes = max_message_bytes
        self._frames_per_s = frames_per_s
        self._most = most
        self._open = 0

    async def refuse(self, request: Request, caller: Caller) -> Response:
        """A plain GET."""
        raise InvalidRequest("this is a WebSocket: connect with `Upgrade: websocket`, or read …/events")

    async def connect(self, websocket: WebSocket) -> None:
        """One client, from its handshake to its end."""
        async with rejecting(websocket) as request_id:
            caller = self._keys.caller(_authorization(websocket), request_id)
            caller.require("instances:read")
            _check(websocket)
            self._require_room()
            self._open += 1
            try:
                await self._hold(websocket, caller)
            finally:
                self._open -= 1

    async def _hold(self, websocket: WebSocket, caller: Caller) -> None:
        name, socket = instance_id(websocket), socket_of(websocket)
        asked = {key: websocket.query_params[key] for key in _PARAMETERS if key in websocket.query_params}
        shape = form("websocket", asked.get("names"))
        held, life = await self._proxy.open_stream(caller, name, urlencode(asked), shape)

        async def deliver(frame: ClientFrame) -> Receipt:
            caller.require("messages:write")
            return await self._proxy.deliver(caller, name, life, msgspec.json.encode(frame))

        outgoing = _bytes(held)
        try:
            socket.accept(max_message_bytes=self._max_message_bytes, frames_per_s=self._frames_per_s)
            await converse(socket, outgoing, deliver, caller.request_id)
        finally:
            held.leave()

    def _require_room(self) -> None:
        if self._open >= self._most:
            raise TooMany(
                f"this gateway holds {self._open} WebSockets and its limit is {self._most}: close some, or add a gateway",
                retry_after_s=5, limit=self._most, current=self._open,
            )  # fmt: skip


async def _bytes(held: HeldStream) -> AsyncGenerator[bytes, None]:
    pieces = held.pieces()
    try:
        async for piece in pieces:
            yield piece.data
        if held.failure:
            raise held.failure
    finally:
        await pieces.aclose()


def _authorization(websocket: WebSocket) -> str | None:
    """The header; browsers cannot set it and send the key as a subprotocol, `bearer.KEY`. Never in the URL, which is logged."""
    header = authorization(websocket)
    if header is not None:
        return header
    for offered in websocket.headers.get("sec-websocket-protocol", "").split(","):
        if offered.strip().startswith(BEARER):
            return f"Bearer {offered.strip().removeprefix(BEARER)}"
    return None

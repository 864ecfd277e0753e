"""What a client says over a WebSocket: taken here, whether it came to this coordinator or through a gateway."""

from collections.abc import AsyncGenerator

from starlette.responses import Response
from starlette.websockets import WebSocket

from podium.auth import Caller
from podium.coordinator import feed
from podium.coordinator.instance import Instance
from podium.coordinator.routes.call import Call
from podium.protocol.api import SendMessage
from podium.protocol.errors import InvalidRequest
from podium.protocol.events import Receipt
from podium.protocol.forms import form
from podium.protocol.frames import AnswerRequest, ClientFrame, ProcessMessage, SteerTurn, StopTurn, read_frame
from podium.protocol.pieces import Piece
from podium.server.conversation import converse
from podium.server.socket import socket_of
from podium.web import json_response, read_body

ROLE = "user"
CHANNEL = "websocket"


async def take_frame(call: Call) -> Response:
    """One frame of a client, forwarded by a gateway that gave it an id; the receipt."""
    frame = read_frame(await read_body(call.request, call.instance.host.limits.message_bytes))
    return json_response(await take(call.instance, call.caller, frame))


async def connect(websocket: WebSocket, caller: Caller, instance: Instance, request_id: str) -> None:
    """A WebSocket of one of our own parts; clients come through a gateway."""
    shape = form("websocket", websocket.query_params.get("names"))
    position = await feed.socket_position(instance, None, websocket.query_params.get("after"))
    instance.stream.require_room()
    socket, limits = socket_of(websocket), instance.host.limits
    socket.accept(max_message_bytes=limits.message_bytes, frames_per_s=limits.frames_per_s)
    outgoing = _bytes(feed.events(instance, position, shape, opening=True))
    await converse(socket, outgoing, lambda frame: take(instance, caller, frame), request_id)


async def _bytes(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in pieces:
            yield piece.data
    finally:
        await pieces.aclose()


async def take(instance: Instance, caller: Caller, frame: ClientFrame) -> Receipt:
    """Do what a frame asks for. The receipt is returned once that is durable; PodiumError where it is refused."""
    caller.require("messages:write")
    if frame.id is None:
        raise InvalidRequest("the frame needs an id")
    origin = {"tenant_id": caller.tenant_id, "role": ROLE, "channel": CHANNEL}
    match frame:
        case ProcessMessage():
            return await _message(instance, frame, frame.id, origin)
        case SteerTurn():
            return await instance.steer(frame.id, frame.content, origin)
        case StopTurn():
            return await instance.stop_turn(frame.id, frame.message_id, origin)
        case AnswerRequest():
            return await instance.answer(frame.id, frame.request_id, frame.content, origin)
        case _:
            raise InvalidRequest(f"{type(frame).__name__} asks for nothing of an instance")


async def _message(instance: Instance, frame: ProcessMessage, message_id: str, origin: dict[str, str]) -> Receipt:
    said = frame.content
    document = SendMessage(text=said.text, role=ROLE, attachments=said.attachments, messages=said.messages).document()
    accepted = await instance.accept(message_id, "message", document, origin)
    return Receipt(id=message_id, disposition="duplicate" if accepted.duplicate else "queued")

"""Both directions of one open WebSocket: frames go out as they come, each frame of the client is answered in its order."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from websockets.frames import CloseCode

from podium.protocol.errors import InvalidRequest, PodiumError
from podium.protocol.events import Pong, Receipt
from podium.protocol.forms import socket_frame
from podium.protocol.frames import ClientFrame, Ping, ProcessMessage, id_of, read_frame
from podium.protocol.ids import new_id
from podium.server.socket import Socket, SocketClosed, close_code
from podium.web import as_podium_error

Deliver = Callable[[ClientFrame], Awaitable[Receipt]]
"""Do what a frame, which has an id, asks for; a PodiumError becomes a receipt that says `rejected`."""


async def converse(socket: Socket, outgoing: AsyncGenerator[bytes, None], deliver: Deliver, request_id: str) -> None:
    """Until either side ends it. What `outgoing` raises becomes the reason why."""
    tasks = {asyncio.create_task(_write(socket, outgoing)), asyncio.create_task(_answer(socket, deliver, request_id))}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = {task for task in tasks if task.done()}
        for task in tasks - ended:
            task.cancel()
        await asyncio.wait(tasks)
    for task in ended:
        _close(socket, task.exception(), request_id)


async def _write(socket: Socket, outgoing: AsyncGenerator[bytes, None]) -> None:
    try:
        async for data in outgoing:
            await socket.write(data)
    finally:
        await outgoing.aclose()


async def _answer(socket: Socket, deliver: Deliver, request_id: str) -> None:
    while True:
        await socket.write(socket_frame(await _said(await socket.receive(), deliver, request_id)))


async def _said(data: bytes, deliver: Deliver, request_id: str) -> Receipt | Pong:
    try:
        frame = read_frame(data)
    except InvalidRequest as error:
        return _rejected(id_of(data), error)
    if isinstance(frame, Ping):
        return Pong(id=frame.id)
    if frame.id is None:
        frame.id = new_id("msg" if isinstance(frame, ProcessMessage) else "req")
    try:
        return await deliver(frame)
    except Exception as error:  # noqa: BLE001 - the boundary: each frame gets its receipt
        return _rejected(frame.id, as_podium_error(error, request_id))


def _rejected(frame_id: str | None, error: PodiumError) -> Receipt:
    return Receipt(id=frame_id, disposition="rejected", reason=error.detail, code=error.code)


def _close(socket: Socket, error: BaseException | None, request_id: str) -> None:
    if isinstance(error, SocketClosed):
        socket.close(CloseCode.NORMAL_CLOSURE, "")
    elif isinstance(error, Exception):
        known = as_podium_error(error, request_id)
        socket.close(close_code(known), known.detail)
    else:
        socket.close(CloseCode.NORMAL_CLOSURE, "the stream has ended")

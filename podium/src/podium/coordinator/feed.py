"""The events of an instance as one reader gets them: where it stands, what it must be told first, then events as they come."""

from collections.abc import AsyncGenerator, Sequence

from starlette.requests import HTTPConnection

from podium.coordinator.instance import Instance
from podium.coordinator.sse import HEARTBEAT_S
from podium.coordinator.stream import Position
from podium.protocol.events import Frame, Reset, Status, Truncate
from podium.protocol.forms import Form
from podium.protocol.ids import Cursor, parse_cursor
from podium.protocol.pieces import PIECES_HEADER, RESUME_HEADER, Piece
from podium.server.streaming import PieceResponse


async def events(instance: Instance, position: Position, form: Form, *, opening: bool) -> AsyncGenerator[Piece, None]:
    """Events from a position on, for ever; with `opening` a `status` frame comes first."""
    async with instance.using():
        if opening:
            start = Cursor(instance.stream.head.epoch, position.after_seq)
            yield Piece(form.frame(status(instance)), start, moves=True)
        for piece in told(instance, position, form):
            yield piece
        async for batch in instance.stream.read(position.after_seq, HEARTBEAT_S):
            yield Piece(batch.joined(form), batch.last) if batch else Piece(form.heartbeat)


def told(instance: Instance, position: Position, form: Form) -> Sequence[Piece]:
    """The notices of a position."""
    return [
        Piece(form.frame(notice), _behind(notice, instance), moves=True, fences=isinstance(notice, Truncate))
        for notice in position.notices
    ]


def status(instance: Instance) -> Status:
    """Where the line stands now."""
    return Status(cursor=str(instance.stream.head), status=instance.status.value)


def resumed(connection: HTTPConnection) -> Cursor | None:
    """Where a gateway goes on that keeps a client's stream open."""
    text = connection.headers.get(RESUME_HEADER)
    return parse_cursor(text) if text else None


async def socket_position(instance: Instance, going_on: Cursor | None, after: str | None) -> Position:
    """Where a WebSocket begins: at the cursor it names, else now."""
    cursor = going_on or (parse_cursor(after) if after else None)
    return await instance.stream.position(cursor) if cursor else Position(instance.stream.head.seq, [])


def respond(connection: HTTPConnection, pieces: AsyncGenerator[Piece, None], form: Form) -> PieceResponse:
    """The answer: packed for a gateway that asked for it."""
    return PieceResponse(pieces, form.carrier, packed=PIECES_HEADER in connection.headers)


def _behind(notice: Frame, instance: Instance) -> Cursor | None:
    match notice:
        case Truncate():
            return Cursor(notice.epoch, notice.after_seq)
        case Reset():
            return Cursor(instance.stream.head.epoch, notice.first_seq - 1)
        case _:
            return None

"""What goes on as it happens: events and logs, as server-sent events or for a WebSocket. Reading wakes nobody."""

import contextlib
from collections.abc import AsyncGenerator

import msgspec
from starlette.responses import Response

from podium.coordinator import feed
from podium.coordinator.routes.call import Call
from podium.coordinator.sse import heartbeat, record_frame
from podium.coordinator.stream import Position
from podium.protocol import api
from podium.protocol.events import dotted
from podium.protocol.forms import SSE, Form, form
from podium.protocol.ids import Cursor, parse_cursor
from podium.protocol.parameters import MAX_RECORD, MAX_RECORDS
from podium.protocol.pieces import Piece
from podium.web import json_response, query_int, whole_number


async def events(call: Call) -> Response:
    """SSE from a cursor on; with `Accept: application/json` one finite page. `after` wins over Last-Event-ID."""
    request = call.request
    shape = form("sse", request.query_params.get("names"))
    going_on = feed.resumed(request)
    text = request.query_params.get("after") or request.headers.get("last-event-id")
    position = await call.instance.stream.position(going_on or (parse_cursor(text) if text else None))
    if "application/json" in request.headers.get("accept", ""):
        return await _page(call, position, shape)
    call.instance.stream.require_room()
    return feed.respond(request, feed.events(call.instance, position, shape, opening=going_on is None), shape)


async def stream(call: Call) -> Response:
    """What goes out over a WebSocket, as its gateway reads it: from a cursor on, without one from now on."""
    request = call.request
    shape = form("websocket", request.query_params.get("names"))
    going_on = feed.resumed(request)
    position = await feed.socket_position(call.instance, going_on, request.query_params.get("after"))
    call.instance.stream.require_room()
    return feed.respond(request, feed.events(call.instance, position, shape, opening=going_on is None), shape)


async def _page(call: Call, position: Position, shape: Form) -> Response:
    limit = query_int(call.request, "limit", 200, 1, MAX_RECORDS)
    found = await call.instance.state.events_after(position.after_seq, limit)
    if shape.dotted:
        found = [msgspec.structs.replace(event, event_type=dotted(event.event_type)) for event in found]
    more = bool(found) and found[-1].seq < call.instance.stream.head.seq
    items = [*position.notices, *found]
    return json_response(api.Page(items=items, next_cursor=str(found[-1].cursor) if more else None))


async def follow_logs(call: Call, limit: int, level: str | None) -> Response:
    """Log records as they are written, from `after` or Last-Event-ID on; else the newest `limit` come first."""
    call.instance.logs.require_room(call.instance.host.limits.readers)
    going_on = feed.resumed(call.request)
    after = going_on.seq if going_on else await _begin(call, limit, level)
    return feed.respond(call.request, heartbeat(_records(call, after, level), SSE.heartbeat), SSE)


async def _begin(call: Call, limit: int, level: str | None) -> int:
    """The number after which to follow."""
    if "after" not in call.request.query_params and (last := call.request.headers.get("last-event-id", "")):
        return whole_number("Last-Event-ID", last, 0, MAX_RECORD)
    if "after" in call.request.query_params:
        return query_int(call.request, "after", 0, 0, MAX_RECORD)
    newest = await call.instance.logs.read(limit, 0, level)
    return newest[0].id - 1 if newest else 0


async def _records(call: Call, after: int, level: str | None) -> AsyncGenerator[Piece, None]:
    """The cursor of a log is the number of a record."""
    async with call.instance.using(), contextlib.aclosing(call.instance.logs.follow(after, level)) as following:
        yield Piece(SSE.heartbeat, Cursor(0, after), moves=True)
        async for records in following:
            yield Piece(b"".join(map(record_frame, records)), Cursor(0, records[-1].id))

"""What an instance holds: events, state, logs, files. Reading wakes nobody."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse

from podium.coordinator.log_store import LEVELS
from podium.coordinator.routes.call import Call
from podium.coordinator.sse import heartbeat, record_frame
from podium.coordinator.stream import Position
from podium.protocol import api
from podium.protocol.errors import InvalidRequest
from podium.protocol.events import Status, sse
from podium.protocol.ids import parse_cursor
from podium.web import event_stream, json_response, query_flag, query_int, refuse_parameters, whole_number
from podium.workspace.port import Entry, OpenFile

MAX_PAGE = 1000
MAX_RECORD = 2**62
CHUNK_BYTES = 256 * 1024


async def events(call: Call) -> Response:
    """SSE from a cursor on; with `Accept: application/json` one finite page. `after` wins over Last-Event-ID."""
    request = call.request
    text = request.query_params.get("after") or request.headers.get("last-event-id")
    position = await call.instance.stream.position(parse_cursor(text) if text else None)
    if "application/json" in request.headers.get("accept", ""):
        limit = query_int(request, "limit", 200, 1, MAX_PAGE)
        found = await call.instance.state.events_after(position.after_seq, limit)
        items = [*position.notices, *found]
        more = bool(found) and found[-1].seq < call.instance.stream.head.seq
        return json_response(api.Page(items=items, next_cursor=str(found[-1].cursor) if more else None))
    call.instance.stream.require_room()
    return event_stream(heartbeat(_events(call, position)))


async def _events(call: Call, position: Position) -> AsyncIterator[bytes]:
    async with call.instance.using():
        stream = call.instance.stream
        yield sse(Status(cursor=str(stream.head), status=call.instance.status.value))
        for notice in position.notices:
            yield sse(notice)
        async for batch in stream.read(position.after_seq):
            yield b"".join(sse(event) for event in batch)


async def state(call: Call) -> Response:
    """The state document as of the newest turn."""
    refuse_parameters(call.request, "at")
    return json_response(await call.instance.state.document())


async def logs(call: Call) -> Response:
    """The newest records, oldest first; with `follow=true` an event stream that goes on, from `after` or Last-Event-ID."""
    request = call.request
    level = request.query_params.get("level")
    if level is not None and level not in LEVELS:
        raise InvalidRequest(f"level must be one of {', '.join(LEVELS)}")
    limit = query_int(request, "limit", 100, 1, MAX_PAGE)
    if query_flag(request, "follow"):
        call.instance.logs.require_room(call.instance.host.limits.readers)
        return event_stream(heartbeat(_records(call, await _begin(call, limit, level), level)))
    offset = query_int(request, "offset", 0, 0, 10**9)
    return json_response(api.Page(items=await call.instance.logs.read(limit, offset, level)))


async def _begin(call: Call, limit: int, level: str | None) -> int:
    """The number after which to follow: as asked, else so that the newest `limit` records come first."""
    if "after" not in call.request.query_params and (last := call.request.headers.get("last-event-id", "")):
        return whole_number("Last-Event-ID", last, 0, MAX_RECORD)
    if "after" in call.request.query_params:
        return query_int(call.request, "after", 0, 0, MAX_RECORD)
    newest = await call.instance.logs.read(limit, 0, level)
    return newest[0].id - 1 if newest else 0


async def _records(call: Call, after: int, level: str | None) -> AsyncIterator[bytes]:
    async with call.instance.using(), contextlib.aclosing(call.instance.logs.follow(after, level)) as following:
        async for records in following:
            yield b"".join(record_frame(record) for record in records)


async def list_files(call: Call) -> Response:
    """Names below `path`, down to `depth` levels."""
    refuse_parameters(call.request, "at", "history")
    path = call.request.query_params.get("path", "")
    depth = query_int(call.request, "depth", 1, 1, 32)
    entries = await call.instance.host.blocking(lambda: list(call.instance.workspace.list(path, depth)))
    return json_response(api.Page(items=[_file_entry(entry) for entry in entries]))


async def get_file(call: Call) -> Response:
    """A file's bytes, whole or one range; the entity tag changes with the content."""
    refuse_parameters(call.request, "at", "history")
    opened: OpenFile = await call.instance.host.blocking(call.instance.workspace.open, call.request.path_params["path"])
    etag = f'"{opened.etag}"'
    headers = {"etag": etag, "accept-ranges": "bytes", "x-content-type-options": "nosniff"}
    if call.request.headers.get("if-none-match") == etag:
        opened.file.close()
        return Response(status_code=304, headers=headers)
    unchanged = call.request.headers.get("if-range", etag) == etag
    wanted = byte_range(call.request.headers.get("range") if unchanged else None, opened.size_bytes)
    if wanted is None:
        opened.file.close()
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{opened.size_bytes}"})
    start, end, partial = wanted
    if partial:
        headers["content-range"] = f"bytes {start}-{end - 1}/{opened.size_bytes}"
    headers["content-length"] = str(end - start)
    body = _content(call, opened, start, end)
    return StreamingResponse(body, 206 if partial else 200, headers, "application/octet-stream")


def byte_range(header: str | None, size: int) -> tuple[int, int, bool] | None:
    """(start, end, partial) of a Range header with one range; the whole where there is none or it is not understood; None: 416.

    Source: RFC 9110, section 14.
    """
    unit, _, spec = (header or "").partition("=")
    first, dash, last = spec.strip().partition("-")
    numbers = [part for part in (first, last) if part]
    if (
        unit.strip() != "bytes"
        or not dash
        or not numbers
        or not all(p.isascii() and p.isdigit() and len(p) < 19 for p in numbers)
    ):
        return 0, size, False
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    return (start, end, True) if start < end else None


async def _content(call: Call, opened: OpenFile, start: int, end: int) -> AsyncIterator[bytes]:
    """Exactly `end - start` bytes; a file that was cut meanwhile ends the answer short, which the client sees."""
    try:
        opened.file.seek(start)
        for offset in itertools.count(start, CHUNK_BYTES):
            chunk = await call.instance.host.blocking(opened.file.read, min(CHUNK_BYTES, end - offset)) if offset < end else b""
            if not chunk:
                return
            yield chunk
    finally:
        opened.file.close()


def _file_entry(entry: Entry) -> api.FileEntry:
    path = entry.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    modified = datetime.fromtimestamp(entry.modified_ns / 1e9, UTC)
    return api.FileEntry(path=path, kind=entry.kind, size_bytes=entry.size_bytes, modified_at=modified)

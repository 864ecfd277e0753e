"""What an instance holds: state, logs, files. Reading wakes nobody."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse

from podium.coordinator.log_store import LEVELS
from podium.coordinator.routes import streams
from podium.coordinator.routes.call import Call
from podium.protocol import api
from podium.protocol.errors import InvalidRequest
from podium.protocol.parameters import MAX_DEPTH, MAX_OFFSET, MAX_RECORDS
from podium.web import json_response, query_flag, query_int
from podium.workspace.port import Entry, OpenFile

CHUNK_BYTES = 256 * 1024


async def state(call: Call) -> Response:
    """The state document as of the newest turn."""
    return json_response(await call.instance.state.document())


async def logs(call: Call) -> Response:
    """The newest records, oldest first; with `follow=true` an event stream that goes on, from `after` or Last-Event-ID."""
    request = call.request
    level = request.query_params.get("level")
    if level is not None and level not in LEVELS:
        raise InvalidRequest(f"level must be one of {', '.join(LEVELS)}")
    limit = query_int(request, "limit", 100, 1, MAX_RECORDS)
    if query_flag(request, "follow"):
        return await streams.follow_logs(call, limit, level)
    offset = query_int(request, "offset", 0, 0, MAX_OFFSET)
    return json_response(api.Page(items=await call.instance.logs.read(limit, offset, level)))


async def list_files(call: Call) -> Response:
    """Names below `path`, down to `depth` levels."""
    path = call.request.query_params.get("path", "")
    depth = query_int(call.request, "depth", 1, 1, MAX_DEPTH)
    entries = await call.instance.host.blocking(lambda: list(call.instance.workspace.list(path, depth)))
    return json_response(api.Page(items=[_file_entry(entry) for entry in entries]))


async def get_file(call: Call) -> Response:
    """A file's bytes, whole or one range; the entity tag changes with the content."""
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

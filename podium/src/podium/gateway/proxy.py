"""Forwards a request to the coordinator that owns the instance and streams the answer back.

What cannot be delivered is tried again within a bound: every POST carries an Idempotency-Key, the gateway's own where the client
sent none, so that a second try never does a thing twice.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from podium.auth import Caller
from podium.gateway.router import Route, Router, Unplaced
from podium.gateway.upstream import Upstream
from podium.protocol.errors import InstanceReplaced, Moved, NotFound, Unavailable
from podium.protocol.ids import new_id
from podium.web import LIFE_HEADER, read_body, target

RETRY_FOR_S = 10.0
RETRY_PAUSE_S = 0.1
CHUNK_BYTES = 64 * 1024

_FORWARDED = (
    "accept", "content-type", "idempotency-key", "if-none-match", "if-range", "last-event-id", "prefer", "range",
)  # fmt: skip
_RETURNED = (
    "accept-ranges", "cache-control", "content-length", "content-range", "content-type", "etag", "location", "retry-after",
    "x-accel-buffering", "x-content-type-options",
)  # fmt: skip


class BrokenOff(ConnectionError):
    """The coordinator went away in the middle of an answer that has a length: the client must see that it is not whole."""


class Proxy:
    """`place` gives an instance without an owner to a coordinator."""

    def __init__(
        self, router: Router, upstream: Upstream, place: Callable[[Caller, str], Awaitable[object]], max_body_bytes: int
    ) -> None:
        self._router = router
        self._upstream = upstream
        self._place = place
        self._max_body_bytes = max_body_bytes

    async def forward(self, request: Request, caller: Caller, instance_id: str) -> Response:
        """The owner's answer; Unavailable where none can be had for RETRY_FOR_S seconds."""
        body = await read_body(request, self._max_body_bytes) if request.method in ("POST", "PUT", "PATCH") else None
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        if request.method == "POST":
            headers.setdefault("idempotency-key", new_id("msg"))
        deadline: float | None = None
        life: int | None = None
        while True:
            try:
                route = await self._route(caller, instance_id)
                life = life or route.life
                sent = headers | {LIFE_HEADER: str(life)}
                upstream = await self._upstream.open(caller, request.method, route.url, target(request), sent, body)
                problem = await _problem(upstream)
                if problem is None or not _misdirected(problem, route):
                    return _answer(upstream, problem)
                life = None
            except (ConnectionError, Unavailable) as error:
                deadline = deadline or time.monotonic() + RETRY_FOR_S
                if time.monotonic() > deadline:
                    raise Unavailable(f"the owner of {instance_id} cannot be reached now: {error}", retry_after_s=1) from error
                await asyncio.sleep(RETRY_PAUSE_S)
            self._router.forget(instance_id)

    async def _route(self, caller: Caller, instance_id: str) -> Route:
        try:
            return await self._router.find(instance_id)
        except Unplaced:
            await self._place(caller, instance_id)
            return await self._router.find(instance_id)


async def _problem(upstream: aiohttp.ClientResponse) -> bytes | None:
    """The whole body of an answer that may only say that our route is old; None for all others."""
    if upstream.status not in (404, 503) or upstream.content_type != "application/problem+json":
        return None
    return await upstream.read()


def _misdirected(problem: bytes, route: Route) -> bool:
    """Whether the instance has another owner now, or another life than the one remembered."""
    code = msgspec.json.decode(problem)["code"]
    return code == Moved.code or (code in (InstanceReplaced.code, NotFound.code) and not route.fresh)


def _answer(upstream: aiohttp.ClientResponse, problem: bytes | None) -> Response:
    headers = {name: upstream.headers[name] for name in _RETURNED if name in upstream.headers}
    if problem is not None:
        return Response(problem, upstream.status, headers)
    return StreamingResponse(_body(upstream), upstream.status, headers)


async def _body(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Bytes as they come. An event stream that is cut just ends: its reader has a cursor."""
    try:
        async for chunk in upstream.content.iter_any():
            yield chunk
    except aiohttp.ClientError as error:
        if upstream.content_type != "text/event-stream":
            raise BrokenOff(str(error)) from error
    finally:
        upstream.close()

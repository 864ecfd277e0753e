"""Forwards a request to the coordinator that owns the instance and streams the answer back.

What cannot be delivered is tried again within a bound: every POST carries an Idempotency-Key, and where the client sent none one
that the gateway chose, so that a second try never does a thing twice.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import aiohttp
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from podium.auth import Caller
from podium.gateway.held import HOLD_FOR_S, HeldStream, is_pieces
from podium.gateway.router import Route, Router, Unplaced
from podium.gateway.upstream import Body, Upstream, known_error, whole
from podium.protocol.errors import InstanceReplaced, Moved, NotFound, Unavailable
from podium.protocol.events import Receipt
from podium.protocol.forms import SSE, Form
from podium.protocol.ids import Cursor, new_id
from podium.protocol.parameters import DEFAULT_WAIT_S
from podium.protocol.pieces import PIECES_HEADER, RESUME_HEADER
from podium.server.streaming import PieceResponse
from podium.web import CHOSEN_KEY_HEADER, LIFE_HEADER, read_body, target, wait_s

RETRY_FOR_S = 10.0
RETRY_PAUSE_S = 0.1
SMALL_BYTES = 16 * 1024
"""An answer that is read whole: starting to stream it costs more."""

_FORWARDED = (
    "accept", "content-type", "idempotency-key", "if-none-match", "if-range", "last-event-id", "prefer", "range",
)  # fmt: skip
_RETURNED = (
    "accept-ranges", "cache-control", "content-length", "content-range", "content-type", "etag", "location", "retry-after",
    "x-accel-buffering", "x-content-type-options",
)  # fmt: skip


class _Problem(msgspec.Struct):
    code: str = ""


class BrokenOff(ConnectionError):
    """The coordinator went away in the middle of an answer that has a length: the client must see that it is not whole."""


class Forward(NamedTuple):
    """One request as a coordinator gets it, whichever and however often. It may take `wait_s` until it answers."""

    method: str
    target: str
    headers: dict[str, str]
    body: Body = None
    wait_s: float = 0.0


class Answer(NamedTuple):
    """A coordinator's answer, and the life that gave it. `body` None is to be read yet; short ones, and problems, are here."""

    upstream: aiohttp.ClientResponse
    body: bytes | None
    life: int

    def checked(self) -> "Answer":
        """Itself, or the problem raised as what it is."""
        if self.upstream.status < 400:
            return self
        raise known_error(self.upstream, self.body or b"")


class Proxy:
    """`place` gives an instance without an owner to a coordinator."""

    def __init__(
        self, router: Router, upstream: Upstream, place: Callable[[Caller, str], Awaitable[object]], max_body_bytes: int
    ) -> None:
        self._router = router
        self._upstream = upstream
        self._place = place
        self._max_body_bytes = max_body_bytes

    async def forward(self, request: Request, caller: Caller, instance_id: str, body: Body = None) -> Response:
        """The owner's answer; Unavailable where none can be had for RETRY_FOR_S seconds. `body` where that was read before."""
        if body is None and request.method in ("POST", "PUT", "PATCH"):
            body = await read_body(request, self._max_body_bytes)
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        if request.method in ("POST", "PUT", "DELETE"):
            headers |= {CHOSEN_KEY_HEADER: new_id("msg")}
        wait = wait_s(request, 0.0 if request.method in ("GET", "HEAD") else DEFAULT_WAIT_S)
        forward = Forward(request.method, target(request), headers | {PIECES_HEADER: "1"}, body, wait)
        answer = await self.reach(caller, instance_id, forward)
        if is_pieces(answer.upstream):
            held = self.hold(caller, instance_id, forward, answer, SSE)
            return PieceResponse(held.pieces(), "sse", packed=False)
        return _answer(answer.upstream, answer.body)

    async def open_stream(self, caller: Caller, instance_id: str, query: str, form: Form) -> tuple[HeldStream, int]:
        """What a WebSocket sends its client, and the life of the instance; a PodiumError of the coordinator."""
        path = f"/agent/{instance_id}/stream"
        forward = Forward("GET", f"{path}?{query}" if query else path, {PIECES_HEADER: "1"})
        answer = (await self.reach(caller, instance_id, forward)).checked()
        return self.hold(caller, instance_id, forward, answer, form), answer.life

    async def deliver(self, caller: Caller, instance_id: str, life: int, frame: bytes) -> Receipt:
        """A frame of a client, which has an id: repeated until there is a receipt. A PodiumError of the coordinator."""
        forward = Forward("POST", f"/agent/{instance_id}/frames", {"content-type": "application/json"}, frame)
        try:
            async with asyncio.timeout(HOLD_FOR_S):
                answer = (await self.reach(caller, instance_id, forward, life, HOLD_FOR_S)).checked()
                return msgspec.json.decode(answer.body or b"", type=Receipt)
        except TimeoutError:
            raise Unavailable(f"no answer for {HOLD_FOR_S:g} s: it may have been taken, send it again with its id") from None

    def hold(self, caller: Caller, instance_id: str, forward: Forward, first: Answer, form: Form) -> HeldStream:
        """The stream that began with `first`, kept open."""

        async def reopen(cursor: Cursor | None) -> aiohttp.ClientResponse:
            headers = forward.headers | ({RESUME_HEADER: str(cursor)} if cursor else {})
            self._router.forget(instance_id)
            answer = (await self.reach(caller, instance_id, forward._replace(headers=headers), first.life)).checked()
            if not is_pieces(answer.upstream):
                answer.upstream.close()
                raise Unavailable("the coordinator answered with something else than the stream")
            return answer.upstream

        return HeldStream(first.upstream, reopen, form)

    async def reach(
        self, caller: Caller, instance_id: str, forward: Forward, life: int | None = None, retry_for_s: float = RETRY_FOR_S
    ) -> Answer:
        """The answer of the owner, of the `life` that is meant; Unavailable where none can be had for `retry_for_s` seconds.

        Silence is over `answer_timeout_s` after what the request waits for itself.
        """
        deadline: float | None = None
        meant, within_s = life, forward.wait_s + self._upstream.answer_timeout_s
        last = time.monotonic() + within_s + retry_for_s
        while True:
            try:
                route = await self._route(caller, instance_id)
                meant = meant or route.life
                answer = await self._ask(caller, route, forward, meant, min(within_s, last - time.monotonic()))
                if not _misdirected(answer, route):
                    return answer
                meant = life
            except (ConnectionError, Unavailable, Moved) as error:
                deadline = deadline or min(time.monotonic() + retry_for_s, last)
                if time.monotonic() > deadline:
                    raise Unavailable(f"the owner of {instance_id} cannot be reached now: {error}", retry_after_s=1) from error
                await asyncio.sleep(RETRY_PAUSE_S)
            self._router.forget(instance_id)

    async def _ask(self, caller: Caller, route: Route, forward: Forward, life: int, within_s: float) -> Answer:
        """Once. ConnectionError, also where a short answer breaks off; Moved where there is another owner now."""
        headers = forward.headers | {LIFE_HEADER: str(life)}
        method, body = forward.method, forward.body
        upstream = await self._upstream.open(caller, method, route.url, forward.target, headers, body, within_s)
        answer = Answer(upstream, await whole(upstream) if _is_short(upstream) else None, life)
        if _code(answer) == Moved.code:
            raise known_error(upstream, answer.body or b"")
        return answer

    async def _route(self, caller: Caller, instance_id: str) -> Route:
        try:
            return await self._router.find(instance_id)
        except Unplaced:
            await self._place(caller, instance_id)
            return await self._router.find(instance_id)


def _is_short(upstream: aiohttp.ClientResponse) -> bool:
    return (
        upstream.content_type == "application/problem+json"
        or (upstream.content_length is not None and upstream.content_length <= SMALL_BYTES)
    )  # fmt: skip


def _code(answer: Answer) -> str | None:
    """What is wrong, where something is."""
    if answer.upstream.content_type != "application/problem+json":
        return None
    return msgspec.json.decode(answer.body or b"{}", type=_Problem).code


def _misdirected(answer: Answer, route: Route) -> bool:
    """Whether the instance has another life than the one remembered, or none."""
    return not route.fresh and _code(answer) in (InstanceReplaced.code, NotFound.code)


def _answer(upstream: aiohttp.ClientResponse, body: bytes | None) -> Response:
    headers = {name: upstream.headers[name] for name in _RETURNED if name in upstream.headers}
    if body is not None:
        return Response(body, upstream.status, headers)
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

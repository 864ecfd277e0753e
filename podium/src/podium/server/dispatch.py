"""The ASGI application of both servers: method and path choose the handler, in as many steps as the path has parts.

A path is cut at its slashes *before* it is percent-decoded, so that `%2F` never makes two parts of one and the gateway and the
coordinator see the same. Frameworks try one pattern after the other; this is a table of tables, made once.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from time import perf_counter
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from podium.protocol.errors import InvalidRequest, MethodNotAllowed, NotFound, PodiumError
from podium.server.metrics import UNMATCHED, Answered, HttpMetrics
from podium.web import Endpoint, endpoint

SOCKET = "WEBSOCKET"
"""The method under which a handler of WebSockets is added."""
SocketHandler = Callable[[WebSocket], Awaitable[None]]
Lifespan = Callable[[], AbstractAsyncContextManager[object]]
NO_ROUTE_CLOSE = 4404
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"))
OTHER_METHOD = "other"


class _Node:
    """One part of a path. `handlers` by method, where a path ends here; `parameter` and `rest` name what a part stands for."""

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.parameter: tuple[str, _Node] | None = None
        self.rest: tuple[str, _Node] | None = None
        self.handlers: dict[str, Any] = {}
        self.path = UNMATCHED


class Dispatcher:
    """Add routes, then serve. `lifespan` is entered before the first request and left after the last; `metrics` counts them."""

    def __init__(self, lifespan: Lifespan = nullcontext, metrics: HttpMetrics | None = None) -> None:
        self._root = _Node()
        self._lifespan = lifespan
        self._metrics = metrics

    def add(self, method: str, path: str, handler: Endpoint | SocketHandler) -> None:
        """Answer `method` on `path`: `{name}` stands for one part of it, `{name:path}` for all that are left."""
        node = self._root
        for part in path.split("/")[1:]:
            if part.endswith(":path}"):
                node.rest = node.rest or (part[1:-6], _Node())
                node = node.rest[1]
            elif part.startswith("{"):
                node.parameter = node.parameter or (part[1:-1], _Node())
                node = node.parameter[1]
            else:
                node = node.fixed.setdefault(part, _Node())
        if method in node.handlers:
            raise ValueError(f"{method} {path} is taken")
        node.path = path
        node.handlers[method] = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI request, socket or life."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        else:
            await self._live(receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], UNMATCHED
        began = perf_counter()
        handler: Endpoint
        try:
            node, scope["path_params"] = self._find(scope)
            handlers, path = node.handlers, node.path
            handler = handlers.get(method) or (handlers["GET"] if method == "HEAD" and "GET" in handlers else _refuse(handlers))
        except PodiumError as error:
            handler = _failing(error)
        response = await handler(Request(scope, receive, send))
        if self._metrics:
            counted = method if method in METHODS else OTHER_METHOD
            self._metrics.observe(Answered(counted, path, response.status_code), perf_counter() - began)
        if method == "HEAD":
            await _head(response, scope, receive, send)
        else:
            await response(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        try:
            node, scope["path_params"] = self._find(scope)
            handler: SocketHandler = node.handlers[SOCKET]
        except (PodiumError, KeyError):
            await socket.close(NO_ROUTE_CLOSE, "no such route")
            return
        await handler(socket)

    def _find(self, scope: Scope) -> tuple[_Node, dict[str, str]]:
        """Where a path ends, and what its parameters are."""
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        try:
            parts = raw.decode("ascii").split("/")
            scope["query_string"].decode("ascii")
        except UnicodeDecodeError:
            raise InvalidRequest("the URL has bytes that are not ASCII: percent-encode them") from None
        node, parameters = self._root, dict[str, str]()
        for index in range(1, len(parts)):
            part = parts[index]
            if found := node.fixed.get(part):
                node = found
            elif node.parameter and part:
                name, node = node.parameter
                parameters[name] = _decoded(part)
            elif node.rest:
                name, node = node.rest
                parameters[name] = _decoded("/".join(parts[index:]))
                break
            else:
                raise NotFound("no such route: see the API reference")
        if not node.handlers:
            raise NotFound("no such route: see the API reference")
        return node, parameters

    async def _live(self, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            await receive()
            try:
                await stack.enter_async_context(self._lifespan())
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _decoded(part: str) -> str:
    if "%" not in part:
        return part
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("the path is not UTF-8 after percent-decoding") from None


def _refuse(handlers: dict[str, Any]) -> Endpoint:
    allowed = ", ".join(sorted({*handlers, *(["HEAD"] if "GET" in handlers else [])} - {SOCKET}))
    fail = _failing(MethodNotAllowed(f"this route answers {allowed or 'WebSockets only'}"))

    async def refuse(request: Request) -> Response:
        response = await fail(request)
        response.headers["allow"] = allowed
        return response

    return refuse


def _failing(error: PodiumError) -> Endpoint:
    async def fail(_: Request) -> Response:
        raise error

    return endpoint(fail)


async def _head(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """The head of what GET answers; nobody waits for the rest of it."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif message.get("more_body"):
            raise ClientDisconnect

    try:
        await response(scope, receive, send_head)
    except ClientDisconnect:
        if isinstance(response, StreamingResponse) and isinstance(response.body_iterator, AsyncGenerator):
            await response.body_iterator.aclose()

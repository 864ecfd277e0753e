"""Which handler a request reaches, and what those get that no route takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket

from podium.protocol.errors import by_code
from podium.protocol.routes import ROUTES
from podium.server.dispatch import SOCKET, Dispatcher
from podium.web import Endpoint, endpoint, json_response


def saying(name: str) -> Endpoint:
    async def handler(request: Request) -> Response:
        return json_response({"route": name, "parameters": request.path_params})

    return endpoint(handler)


@pytest.fixture(scope="module")
def app() -> Dispatcher:
    """The whole table, each route saying its own name."""
    made = Dispatcher()
    for route in ROUTES:
        made.add(route.method, route.path, saying(route.name))
    return made


async def ask(app: Dispatcher, method: str, raw_path: bytes, query: bytes = b"") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "asgi": {"spec_version": "2.3"}, "method": method, "path": "unused", "raw_path": raw_path,
        "query_string": query, "headers": [],
    }  # fmt: skip

    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()  # a client that stays
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def answer(app: Dispatcher, method: str, path: bytes, query: bytes = b"") -> tuple[int, dict[str, Any]]:
    start, body = await ask(app, method, path, query)
    return start["status"], msgspec.json.decode(body["body"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_every_route_of_the_table_is_found(app: Dispatcher, route: Any) -> None:
    path = route.path.replace("{path:path}", "a/b.txt")
    for name in ("instance_id", "message_id", "deployment_id", "key_prefix", "agent_type", "coordinator_id"):
        path = path.replace(f"{{{name}}}", "some")
    status, document = await answer(app, route.method, path.encode())
    assert (status, document["route"]) == (200, route.name)
    assert set(document["parameters"].values()) <= {"some", "a/b.txt"}


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (b"/api/v1/instances/a%2Fb", {"instance_id": "a/b"}),
        (b"/api/v1/instances/%2e%2e", {"instance_id": ".."}),
        (b"/api/v1/instances/a%00b", {"instance_id": "a\0b"}),
        (b"/api/v1/instances/a/files/x/../y", {"instance_id": "a", "path": "x/../y"}),
        (b"/api/v1/instances/a/files/%2e%2e/y", {"instance_id": "a", "path": "../y"}),
        (b"/api/v1/instances/a/files//y", {"instance_id": "a", "path": "/y"}),
        (b"/api/v1/instances/a/files/", {"instance_id": "a", "path": ""}),
        (b"/api/v1/instances/a/files/%C3%A9%20", {"instance_id": "a", "path": "é "}),
        (b"/api/v1/instances/a/files/%zz%", {"instance_id": "a", "path": "%zz%"}),
    ],
)
async def test_a_path_is_cut_before_it_is_decoded(app: Dispatcher, path: bytes, parameters: dict[str, str]) -> None:
    assert (await answer(app, "GET", path))[1]["parameters"] == parameters


@pytest.mark.parametrize(
    "path",
    [
        b"/", b"//", b"/nowhere", b"/health/", b"//health", b"/health/x", b"/HEALTH", b"/%68ealth", b"/api/v1",
        b"/api/v1/instances/",
        b"/api/v1//instances", b"/api/v1/instances//messages", b"/api/v1/instances/a/messages/b/c", b"/api%2Fv1/instances",
        b"/api/v1/instances/a/files%2Fb", b"*",
    ],
)  # fmt: skip
async def test_what_no_route_takes_is_not_found(app: Dispatcher, path: bytes) -> None:
    status, document = await answer(app, "GET", path)
    assert (status, document["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "query"), [(b"/api/v1/instances/\xff", b""), (b"/health", b"a=\xe9"), (b"/api/v1/instances/%ff", b"")]
)
async def test_a_url_that_is_no_text_is_refused(app: Dispatcher, path: bytes, query: bytes) -> None:
    status, document = await answer(app, "GET", path, query)
    assert (status, document["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", SOCKET, "get"])
async def test_another_method_is_refused_naming_those_that_are_not(app: Dispatcher, method: str) -> None:
    start, body = await ask(app, method, b"/api/v1/deployments")
    assert (start["status"], msgspec.json.decode(body["body"])["code"]) == (405, "method_not_allowed")
    assert dict(start["headers"])[b"allow"] == b"GET, HEAD, POST"


async def test_head_is_get_without_its_body(app: Dispatcher) -> None:
    start, body = await ask(app, "HEAD", b"/health")
    assert start["status"] == 200
    assert int(dict(start["headers"])[b"content-length"]) > 0
    assert body == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_head_of_a_stream_without_end_ends() -> None:
    ended = False

    async def frames() -> AsyncIterator[bytes]:
        nonlocal ended
        try:
            while True:
                yield b": \n\n"
        finally:
            ended = True

    async def stream(_: Request) -> Response:
        return StreamingResponse(frames(), media_type="text/event-stream")

    app = Dispatcher()
    app.add("GET", "/", endpoint(stream))
    assert len(await ask(app, "HEAD", b"/")) == 2
    assert ended


def test_two_handlers_for_one_route_are_a_mistake(app: Dispatcher) -> None:
    with pytest.raises(ValueError, match="is taken"):
        app.add("GET", "/api/v1/instances/{id}", saying("x"))


@given(path=st.binary(max_size=60).map(lambda path: b"/" + path) | st.lists(st.sampled_from(
    [b"api", b"v1", b"instances", b"a", b"files", b"messages", b"..", b"", b"%2f", b"%"])).map(b"/".join))  # fmt: skip
async def test_any_path_is_answered(path: bytes) -> None:
    app = Dispatcher()
    for route in ROUTES:
        app.add(route.method, route.path, saying(route.name))
    status, document = await answer(app, "GET", path)
    assert status in (200, 400, 404, 405)
    assert status == 200 or document["code"] in by_code()


# ---- sockets and life


async def test_sockets_have_handlers_of_their_own() -> None:
    async def greet(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.path_params["instance_id"])
        await socket.close()

    app = Dispatcher()
    app.add(SOCKET, "/agent/{instance_id}", greet)
    assert [message["type"] for message in await connect(app, b"/agent/a")] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    [refused] = await connect(app, b"/nowhere")
    assert (refused["type"], refused["code"]) == ("websocket.close", 4404)


async def connect(app: Dispatcher, raw_path: bytes) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    scope = {"type": "websocket", "path": "unused", "raw_path": raw_path, "query_string": b"", "headers": []}

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def live(app: Dispatcher) -> list[str]:
    sent: list[str] = []
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    try:
        await app({"type": "lifespan"}, receive, send)
    except RuntimeError:
        sent.append("raised")
    return sent


async def test_what_is_started_before_the_first_request_is_ended_after_the_last() -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        happened.append("began")
        yield
        happened.append("ended")

    assert await live(Dispatcher(lifespan)) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert happened == ["began", "ended"]
    assert await live(Dispatcher()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_start_that_fails_is_said() -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        raise RuntimeError("no")
        yield

    assert await live(Dispatcher(lifespan)) == ["lifespan.startup.failed", "raised"]

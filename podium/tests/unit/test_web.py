"""What leaves an HTTP server of ours: JSON, streams, and for every error a problem document."""

import asyncio
import contextlib
import re
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from podium import web
from podium.protocol.api import CreateInstance, SendMessage
from podium.protocol.errors import InvalidRequest, PodiumError, TooLarge, by_code
from podium.server.dispatch import Dispatcher

SECRET = "postgres://user:hunter2@db"


def raising(error: Exception) -> web.Endpoint:
    async def handler(_: Request) -> Response:
        raise error

    return handler


async def ask(handler: web.Endpoint, method: str = "GET", path: str = "/", **rest: Any) -> httpx.Response:
    app = Dispatcher()
    app.add("GET", "/", web.endpoint(handler))
    app.add("POST", "/", web.endpoint(handler))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, path, **rest)


def request(query: str = "", headers: dict[str, str] | None = None, chunks: tuple[bytes, ...] = ()) -> Request:
    """A request with a body that comes in pieces."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": raw}
    return Request(scope, receive)


def problem_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document["type"] == f"urn:podium:error:{document['code']}"
    assert document["request_id"] == response.headers["x-request-id"] != ""
    assert document["title"]
    assert document["detail"]
    return document


# ---- errors


@pytest.mark.parametrize("kind", by_code().values(), ids=by_code())
async def test_every_error_of_ours_leaves_as_what_it_is(kind: type[PodiumError]) -> None:
    response = await ask(raising(kind("what, why, what to do", retry_after_s=7, limit=3)))
    document = problem_of(response)
    assert response.status_code == kind.status
    assert (document["code"], document["retryable"]) == (kind.code, kind.retryable)
    assert (document["detail"], document["limit"]) == ("what, why, what to do", 3)
    assert response.headers["retry-after"] == "7"


async def test_without_a_time_to_retry_none_is_given() -> None:
    assert "retry-after" not in (await ask(raising(InvalidRequest("no")))).headers


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device", "/secret/path"), "full"),
        (OSError(122, "Disk quota exceeded", "/secret/path"), "full"),
        (OSError(24, "Too many open files", "/secret/path"), "descriptors"),
        (OSError(23, "Too many open files in system", "/secret/path"), "descriptors"),
        (PermissionError(13, "Permission denied", "/secret/path"), "storage"),
    ],
)
async def test_storage_that_fails_is_unavailable_for_now(error: OSError, says: str) -> None:
    response = await ask(raising(error))
    document = problem_of(response)
    assert (response.status_code, document["code"], document["retryable"]) == (503, "unavailable", True)
    assert int(response.headers["retry-after"]) > 0
    assert "/secret/path" not in response.text
    assert says in document["detail"]


@pytest.mark.parametrize("error", [ConnectionError("valkey"), ConnectionRefusedError(111, "refused"), TimeoutError("slow")])
async def test_a_part_that_does_not_answer_is_unavailable_for_now(error: Exception) -> None:
    response = await ask(raising(error))
    document = problem_of(response)
    assert (response.status_code, document["code"], document["retryable"]) == (503, "unavailable", True)


@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(SECRET), RuntimeError(SECRET), RecursionError(SECRET)])
async def test_a_bug_tells_nothing_about_itself(error: Exception) -> None:
    response = await ask(raising(error))
    document = problem_of(response)
    assert (response.status_code, document["code"]) == (500, "internal")
    assert "hunter2" not in response.text
    assert type(error).__name__ not in response.text


async def test_other_errors_of_the_framework_are_problems_too() -> None:
    document = problem_of(await ask(raising(HTTPException(413, "too much"))))
    assert (document["code"], document["detail"]) == ("invalid_request", "too much")


async def test_a_client_that_left_gets_nothing_and_is_no_error() -> None:
    assert (await ask(raising(ClientDisconnect()))).status_code == 499


async def test_a_request_that_is_cut_off_by_the_end_of_its_server_may_be_sent_again() -> None:
    async def handler(_: Request) -> Response:
        raise asyncio.CancelledError

    document = problem_of(await ask(handler))
    assert (document["code"], document["retryable"]) == ("unavailable", True)


async def test_a_request_keeps_its_id() -> None:
    assert problem_of(await ask(raising(InvalidRequest("no")), headers={"x-request-id": "req_7"}))["request_id"] == "req_7"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a,b", "\xe9", "<script>", '"'])
async def test_an_id_that_logs_and_headers_cannot_carry_is_replaced(given: str) -> None:
    answered = problem_of(await ask(raising(InvalidRequest("no")), headers={"x-request-id": given.encode("latin-1")}))[
        "request_id"
    ]
    assert re.fullmatch(r"req_[0-9a-z]{26}", answered)


async def test_every_answer_has_a_request_id() -> None:

    async def answer(request: Request) -> Response:
        return web.json_response({"request_id": request.state.request_id})

    response = await ask(answer)
    assert response.json()["request_id"] == response.headers["x-request-id"]


# ---- what comes in


async def test_a_body_is_read_up_to_its_limit() -> None:
    assert await web.read_body(request(chunks=(b"abc", b"", b"defg")), 7) == b"abcdefg"
    assert await web.read_body(request(), 0) == b""
    with pytest.raises(TooLarge) as error:
        await web.read_body(request(chunks=(b"abc", b"defgh")), 7)
    assert error.value.extra == {"limit": 7}


async def test_a_body_without_end_is_given_up_at_the_limit() -> None:
    sent = 0

    async def endless() -> dict[str, Any]:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    with pytest.raises(TooLarge):
        await web.read_body(Request({"type": "http", "method": "POST", "headers": []}, endless), 10_000)
    assert sent == 11


def test_an_empty_body_is_said_to_be_one() -> None:
    with pytest.raises(InvalidRequest, match="the body is empty"):
        web.decode(b"", SendMessage)


def test_a_body_becomes_what_the_route_names() -> None:
    assert web.decode(b'{"text": "hello"}', SendMessage) == SendMessage(text="hello")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "truncated"),
        (b"[]", "object"),
        (b'{"text": 7}', "text"),
        (b'{"text": "a", "colour": "red"}', "colour"),
        (b'{"text": "a", "id": "a b"}', "id"),
        (b'{"text": "\xff"}', ""),
        (b'{"text": "\\ud800"}', ""),
        (b'{"text": "a", "attachments": ' + b"[" * 100_000, ""),
        (b'{"text": "a", "attachments": [{"a": ' + b'{"a": ' * 100_000, ""),
    ],
)
def test_a_body_that_is_not_is_refused_by_name(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match="the body is not as it should be") as error:
        web.decode(body, SendMessage)
    assert says in error.value.detail


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    for kind in (SendMessage, CreateInstance, dict[str, Any]):
        with contextlib.suppress(InvalidRequest):
            web.decode(body, kind)


@pytest.mark.parametrize(("query", "number"), [("", 10), ("limit=1", 1), ("limit=007", 7), ("limit=100", 100), ("other=5", 10)])
def test_a_number_from_the_query(query: str, number: int) -> None:
    assert web.query_int(request(query), "limit", 10, 1, 100) == number


@pytest.mark.parametrize("text", ["", "0", "101", "-1", "1.5", "1e1", "abc", "+5", "%D9%A3", "%C2%B2", "1_0", " 5", "9" * 5000])
def test_a_number_out_of_bounds_or_none_at_all_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="limit must be a whole number from 1 to 100"):
        web.query_int(request(f"limit={text}"), "limit", 10, 1, 100)


def test_how_long_a_caller_waits() -> None:
    assert web.wait_s(request(), 50) == 50
    assert web.wait_s(request("wait=0"), 50) == 0
    assert web.wait_s(request("wait=300"), 50) == 300
    assert web.wait_s(request("wait=20", {"prefer": "respond-async"}), 50) == 0
    assert web.wait_s(request("", {"prefer": "handling=lenient, respond-async"}), 50) == 0
    with pytest.raises(InvalidRequest, match="wait must be"):
        web.wait_s(request("wait=301"), 50)


# ---- what goes out


async def test_json_goes_out_as_json() -> None:
    async def answer(_: Request) -> Response:
        return web.json_response(SendMessage(text="é"), 202, {"location": "/x"})

    response = await ask(answer, "POST")
    assert (response.status_code, response.headers["location"]) == (202, "/x")
    assert response.headers["content-type"] == "application/json"
    assert msgspec.json.decode(response.content, type=SendMessage) == SendMessage(text="é")


@pytest.mark.parametrize(("value", "fd"), [("7", 7), ("", None), ("abc", None), (None, None)])
def test_a_socket_may_be_handed_over(monkeypatch: pytest.MonkeyPatch, value: str | None, fd: int | None) -> None:
    monkeypatch.delenv("PODIUM_LISTEN_FD", raising=False)
    if value is not None:
        monkeypatch.setenv("PODIUM_LISTEN_FD", value)
    assert web.listening_fd() == fd

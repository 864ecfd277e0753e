"""Bad input over HTTP: each a problem document with a stable code, nothing lost, nothing changed, and everybody else served."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import psutil
import pytest
import pytest_asyncio

from podium.client import AsyncPodium
from tests.support.platform import Platform, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
V1 = "/api/v1"


@pytest_asyncio.fixture(loop_scope="module")
async def http(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {platform.key}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=30) as opened:
        yield opened


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = msgspec.json.decode(response.content)
    assert (response.status_code, document["code"]) == (status, code), document
    assert document["request_id"] == response.headers["x-request-id"]
    return document


async def raw(platform: Platform, head: bytes, body: bytes = b"", key: str | None = None) -> httpx.Response:
    """What is answered to exactly these bytes; `key` adds the Authorization header."""
    url = httpx.URL(platform.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    authorization = f"authorization: Bearer {key}\r\n".encode() if key else b""
    writer.write(head + b"\r\nhost: x\r\nconnection: close\r\n" + authorization + b"\r\n" + body)
    status, *lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1").strip().split("\r\n")
    content = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    without_chunks = [(name, value) for name, value in headers if name.lower() != "transfer-encoding"]
    return httpx.Response(int(status.split(" ")[1]), headers=without_chunks, content=content)


# ---- bodies

BODIES = [
    b"", b"{", b"[]", b"null", b'"text"', b'{"text": 7}', b'{"text": "x", "colour": "red"}', b'{"text": "x", "attachments": {}}',
    b'{"text": "x", "role": "Not A Role"}', b'{"text": "x", "id": "a b"}', b'{"text": "x", "id": ""}', b'{"text": NaN}',
    b'{"text": "x", "attachments": [{"a": NaN}]}', b'{"text": "x", "attachments": [{"a": 1e999}]}',
    b'{"text": "x", "attachments": [{"a": 123456789012345678901234567890}]}', b'{"text": "\xff\xfe"}', b'{"text": "\\ud800"}',
    b'{"text": "x", "attachments": ' + b"[" * 50_000,
    b'{"text": "x", "attachments": [' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"]}",
    b"\xef\xbb\xbf{}", b'{"text": "x"} {"text": "y"}', "{'text': 'x'}".encode("utf-16"),
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
async def test_a_body_that_is_not_right_is_refused(http: httpx.AsyncClient, client: AsyncPodium, agent: str, body: bytes) -> None:
    before = await client.instance(agent)
    problem(await http.post(f"{V1}/instances/{agent}/messages", content=body), 400, "invalid_request")
    problem(await http.post(f"{V1}/instances", content=body), 400, "invalid_request")
    assert (await client.instance(agent)).cursor == before.cursor


async def test_a_body_beyond_the_limit_is_refused_naming_it(http: httpx.AsyncClient, agent: str) -> None:
    document = problem(await http.post(f"{V1}/instances/{agent}/messages", json={"text": "x" * (1 << 20)}), 413, "too_large")
    assert document["limit"] == 1 << 20

    async def endless() -> AsyncIterator[bytes]:
        with contextlib.suppress(GeneratorExit):
            for _ in range(10_000):
                yield b"x" * 10_000

    with contextlib.suppress(httpx.WriteError):  # the server may hang up first
        problem(await http.post(f"{V1}/instances/{agent}/messages", content=endless()), 413, "too_large")
    assert (await http.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"), ("multipart/form-data", b""), ("multipart/form-data; boundary=", b""),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n"), ("multipart/form-data; boundary=b", b"\xff" * 100),
        ("multipart/form-data; boundary=b", b"--b\r\ncontent-disposition: form-data; name=file\r\n\r\nx\r\n--b--\r\n"),
    ],
)  # fmt: skip
async def test_a_form_that_is_none_is_refused(http: httpx.AsyncClient, kind: str, body: bytes) -> None:
    answer = await http.post(f"{V1}/deployments", content=body, headers={"content-type": kind})
    problem(answer, 400, "invalid_request")


# ---- ids, versions, paths, queries


@pytest.mark.parametrize("path", [
    "/api/v1/instances/%2e%2e", "/api/v1/instances/..", "/api/v1/instances/a%00b", "/api/v1/instances/a%2Fb",
    "/api/v1//instances", "/api/v1/instances/", "/api/v1/instances/-a", "/api/v1/instances/" + "a" * 65,
    "/api/v1/instances/%C3%A9", "//health", "/health/",
    "/api/v1/../v1/instances", "/API/V1/instances", "/api/v1/instances/nobody/..%2f..%2fkeys", "/.%2e/keys", "*",
])  # fmt: skip
async def test_a_path_that_leads_nowhere_is_not_found(platform: Platform, path: str) -> None:
    problem(await raw(platform, f"GET {path} HTTP/1.1".encode(), key=platform.key), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["%2e%2e/keys", "../../keys", "a%00b", "%2Fetc/passwd", "/etc/passwd", "..%2f..%2fstate.db", "%ff", "a" * 4096]
)
async def test_no_path_leads_out_of_a_workspace(platform: Platform, agent: str, path: str) -> None:
    answer = await raw(platform, f"GET {V1}/instances/{agent}/files/{path} HTTP/1.1".encode(), key=platform.key)
    problem(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    "name", ["a b", "A:1.0.0", "a:1", "a:01.0.0", "a:1.0.0@123", "a:1.0.0@zzzzzzzz", "a@12345678", "-", "a:", "a:1.0.0-é"]
)
async def test_a_name_of_a_deployment_that_is_none_is_refused(http: httpx.AsyncClient, name: str) -> None:
    problem(await http.post(f"{V1}/instances", json={"deployment_id": name}), 400, "invalid_request")


@pytest.mark.parametrize("query", [
    "limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=1&limit=2", "limit=1e1", "cursor=%00", "cursor=..", "limt=5",
    "status=asleep", "agent_type=A", "cursor=" + "a" * 100, "=x", "limit=1;cursor=a",
])  # fmt: skip
async def test_a_query_that_is_not_right_is_refused(http: httpx.AsyncClient, query: str) -> None:
    problem(await http.get(f"{V1}/instances?{query}"), 400, "invalid_request")


async def test_pages_lead_through_a_list_once(http: httpx.AsyncClient, client: AsyncPodium, agent: str) -> None:
    deployment = (await client.instance(agent)).deployment_id
    made = [(await client.create(deployment)).instance_id for _ in range(3)]
    seen, cursor = [], None
    while True:
        page = (await http.get(f"{V1}/instances", params={"limit": 1} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [item["instance_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(set(seen))
    assert set(made) | {agent} <= set(seen)
    for name in made:
        await client.delete(name)


# ---- headers


@pytest.mark.parametrize("value", [
    "", "Bearer", "Basic YTpi", "pod_admin_x", "Bearer pod_nobody", "Bearer \xff", "bearer\tx",
    "Bearer " + "x" * 5000,
])  # fmt: skip
async def test_a_key_that_is_none_is_refused(platform: Platform, value: str) -> None:
    async with httpx.AsyncClient(base_url=platform.url) as http:
        problem(await http.get(f"{V1}/instances", headers=[(b"authorization", value.encode("latin-1"))]), 401, "unauthorized")
        problem(await http.get(f"{V1}/instances"), 401, "unauthorized")


async def test_two_keys_are_one_too_many(platform: Platform) -> None:
    key = f"Bearer {platform.key}".encode()
    for headers in ([(b"authorization", key)] * 2, [(b"authorization", key), (b"Authorization", b"Bearer x")]):
        async with httpx.AsyncClient(base_url=platform.url) as http:
            problem(await http.get(f"{V1}/instances", headers=headers), 401, "unauthorized")


async def test_headers_that_make_no_sense_do_no_harm(http: httpx.AsyncClient, client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "write notes.txt hello")
    file = f"{V1}/instances/{agent}/files/notes.txt"
    etag = (await http.get(file)).headers["etag"]
    for value in (
        "bytes=",
        "bytes=x-",
        "bytes=5-1-2",
        "lines=0-1",
        "bytes=0-1,3-4",
        "bytes=-",
        "bytes 0-1",
        "=",
        "bytes=" + "9" * 50 + "-",
    ):
        assert (await http.get(file, headers={"range": value})).text == "hello", value
    problemless = await http.get(file, headers={"range": "bytes=99-"})
    assert (problemless.status_code, problemless.headers["content-range"]) == (416, "bytes */5")
    assert (await http.get(file, headers={"range": "bytes=1-2"})).text == "el"
    for value in ("x", '"', "W/", '"other"', ",,,"):
        assert (await http.get(file, headers={"if-none-match": value})).status_code == 200, value
        assert (await http.get(file, headers={"range": "bytes=1-2", "if-range": value})).text == "hello", value
    assert (await http.get(file, headers={"if-none-match": etag})).status_code == 304
    for header in ({"accept": ";q=x"}, {"prefer": "wait=x, respond-async;;"}, {"content-type": "text/plain; charset=x"}):
        assert (
            await http.post(f"{V1}/instances/{agent}/messages?wait=5", json={"text": "echo x"}, headers=header)
        ).status_code in (200, 202)


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "é", "a,b"])
async def test_an_idempotency_key_that_is_none_is_refused(
    http: httpx.AsyncClient, client: AsyncPodium, agent: str, key: str
) -> None:
    deployment = (await client.instance(agent)).deployment_id
    headers = [(b"idempotency-key", key.encode())]
    problem(await http.post(f"{V1}/instances/{agent}/messages", json={"text": "echo x"}, headers=headers), 400, "invalid_request")
    problem(await http.post(f"{V1}/instances", json={"deployment_id": deployment}, headers=headers), 400, "invalid_request")
    twice = [(b"idempotency-key", b"one"), (b"idempotency-key", b"two")]
    problem(await http.post(f"{V1}/instances/{agent}/messages", json={"text": "echo x"}, headers=twice), 400, "invalid_request")


async def test_the_same_key_is_the_same_instance_and_another_body_is_refused(
    http: httpx.AsyncClient, client: AsyncPodium, agent: str
) -> None:
    deployment = (await client.instance(agent)).deployment_id
    key = {"idempotency-key": f"create-{agent}"}
    made = [(await http.post(f"{V1}/instances", json={"deployment_id": deployment}, headers=key)).json() for _ in range(2)]
    assert made[0]["instance_id"] == made[1]["instance_id"]
    other = await http.post(f"{V1}/instances", json={"deployment_id": deployment, "labels": {"a": "b"}}, headers=key)
    problem(other, 422, "idempotency_mismatch")
    await client.delete(made[0]["instance_id"])


# ---- methods


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PROPFIND"])
async def test_a_method_that_a_route_does_not_have_is_refused(platform: Platform, method: str) -> None:
    answer = await raw(platform, f"{method} {V1}/instances HTTP/1.1".encode(), key=platform.key)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_head_is_get_without_a_body(http: httpx.AsyncClient, client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "write notes.txt hello")
    for path in (
        "/health",
        f"{V1}/instances/{agent}",
        f"{V1}/instances/{agent}/files/notes.txt",
        f"{V1}/instances/{agent}/events",
    ):
        got = await http.head(path)
        assert (got.status_code, got.content) == (200, b""), path
    assert (await http.head(f"{V1}/instances/{agent}/files/notes.txt")).headers["content-length"] == "5"
    assert (await http.head(f"{V1}/instances/nobody")).status_code == 404


# ---- no descriptors left


@pytest.mark.parametrize("part", ["gateway", "coordinator"])
async def test_without_descriptors_it_says_so_and_goes_on_after(
    platform: Platform, http: httpx.AsyncClient, client: AsyncPodium, agent: str, part: str
) -> None:
    process = platform.part(part)
    before = process.rlimit(psutil.RLIMIT_NOFILE)
    server = httpx.URL(platform.url if part == "gateway" else (await client.coordinators())[0].url)
    await client.send(agent, "echo before")
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 3, before[1]))
    connections = []
    try:
        for _ in range(20):
            connections.append(await asyncio.open_connection(server.host, server.port))
        await until(lambda: "no file descriptors left" in platform.output)
    finally:
        for _, writer in connections:
            writer.close()
        process.rlimit(psutil.RLIMIT_NOFILE, before)

    async def serves() -> bool:
        return (await client.send(agent, "echo after")).text == "after"

    await until(serves)
    assert platform.part(part).pid == process.pid

"""Every route of an instance, made from the route table, asked on the coordinator by callers who may not.

There is one key today, but the signed header between our own parts carries tenant and permissions already.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx
import msgspec
import pytest
import pytest_asyncio

from podium.auth import CALLER_HEADER, PLATFORM_TENANT, Caller, Signer
from podium.client import AsyncPodium
from podium.protocol.routes import ROUTES, Route
from tests.support.platform import Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")
BUILT = [route for route in ROUTES if route.owner == "coordinator" and route.built]
PERMISSIONS = tuple(sorted({route.permission for route in ROUTES if route.permission and route.permission != "admin"}))
BODIES = {
    "send_message": {"text": "echo x"},
    "steer": {"content": {"text": "x"}},
    "answer": {"request_id": "m.1", "content": "x"},
}
INTERNAL = [("GET", "/agent/{instance_id}/stream"), ("POST", "/agent/{instance_id}/frames")]


class Coordinator(NamedTuple):
    """How our own parts ask it."""

    http: httpx.AsyncClient
    url: str
    signer: Signer

    async def ask(self, caller: Caller | None, method: str, target: str, body: object = None) -> httpx.Response:
        headers = {CALLER_HEADER: self.signer.sign(caller, method, target)} if caller else {}
        return await self.http.request(method, self.url + target, headers=headers, json=body)


@pytest_asyncio.fixture(loop_scope="module")
async def coordinator(platform: Platform, client: AsyncPodium) -> AsyncIterator[Coordinator]:
    secrets_key = (platform.data / "keys" / "secrets_key").read_text().strip()
    url = (await client.coordinators())[0].url
    async with httpx.AsyncClient(timeout=30) as http:
        yield Coordinator(http, url, Signer(secrets_key))


def target_of(path: str, agent: str) -> str:
    names = {"instance_id": agent, "message_id": "m1", "path:path": "notes.txt"}
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def problem(response: httpx.Response, status: int, code: str) -> None:
    document = msgspec.json.decode(response.content)
    assert (response.status_code, document["code"]) == (status, code), document
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("route", BUILT, ids=lambda route: route.name)
async def test_another_tenant_does_not_find_it(coordinator: Coordinator, client: AsyncPodium, agent: str, route: Route) -> None:
    before = await client.instance(agent)
    stranger = Caller(tenant_id="stranger", permissions=PERMISSIONS)
    answer = await coordinator.ask(stranger, route.method, target_of(route.path, agent), BODIES.get(route.name, {}))
    problem(answer, 404, "not_found")
    after = await client.instance(agent)
    assert (after.cursor, after.epoch, after.queued, after.config) == (before.cursor, before.epoch, before.queued, before.config)


@pytest.mark.parametrize("route", BUILT, ids=lambda route: route.name)
async def test_its_own_tenant_needs_the_permission(
    coordinator: Coordinator, client: AsyncPodium, agent: str, route: Route
) -> None:
    lacking = Caller(tenant_id=PLATFORM_TENANT, permissions=tuple(p for p in PERMISSIONS if p != route.permission))
    answer = await coordinator.ask(lacking, route.method, target_of(route.path, agent), BODIES.get(route.name, {}))
    problem(answer, 403, "forbidden")
    assert f"{route.permission}" in answer.json()["detail"]
    assert (await client.instance(agent)).queued == 0


@pytest.mark.parametrize("route", BUILT, ids=lambda route: route.name)
async def test_nobody_gets_in_without_a_signature(coordinator: Coordinator, agent: str, route: Route) -> None:
    target = target_of(route.path, agent)
    problem(await coordinator.ask(None, route.method, target), 401, "unauthorized")
    forged = coordinator._replace(signer=Signer("another platform's key"))
    problem(await forged.ask(Caller(tenant_id=PLATFORM_TENANT, admin=True), route.method, target), 401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), INTERNAL)
async def test_what_gateways_ask_for_sockets_is_kept_apart_too(
    coordinator: Coordinator, agent: str, method: str, path: str
) -> None:
    body = {"type": "process_message", "id": "m1", "content": {"text": "echo x"}}
    target = target_of(path, agent)
    problem(await coordinator.ask(Caller(tenant_id="stranger", permissions=PERMISSIONS), method, target, body), 404, "not_found")
    problem(await coordinator.ask(Caller(tenant_id=PLATFORM_TENANT), method, target, body), 403, "forbidden")
    problem(await coordinator.ask(None, method, target, body), 401, "unauthorized")


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.built], ids=lambda route: route.name)
async def test_what_is_not_built_says_so(platform: Platform, agent: str, route: Route) -> None:
    target = target_of(route.path, agent).replace("{", "").replace("}", "")
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {platform.key}"}) as http:
        problem(await http.request(route.method, platform.url + target, json={}), 501, "not_available")


async def test_a_header_of_ours_that_a_client_sends_is_ignored(platform: Platform, coordinator: Coordinator, agent: str) -> None:
    """Neither who calls nor which life is meant can be said from outside."""
    target = target_of("/api/v1/instances/{instance_id}", agent)
    signed = coordinator.signer.sign(Caller(tenant_id=PLATFORM_TENANT, admin=True), "GET", target)
    names = ("x-podium-caller", "x-podium-life", "x-podium-pieces", "x-podium-resume")
    headers = dict.fromkeys(names, signed)
    async with httpx.AsyncClient() as http:
        problem(await http.get(platform.url + target, headers=headers), 401, "unauthorized")
        headers |= {"authorization": f"Bearer {platform.key}", "x-podium-life": "7"}
        assert (await http.get(platform.url + target, headers=headers)).status_code == 200

"""Each code of `protocol/errors.py` is reached, by what a client or an operator can do, and comes as a whole problem document."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from podium.auth import CALLER_HEADER, PLATFORM_TENANT, Caller, Signer
from podium.gateway.ensemble import Ensemble
from podium.protocol.errors import PodiumError, by_code
from podium.server.dispatch import Dispatcher
from podium.web import endpoint
from tests.support import bundles
from tests.support.platform import AGENTS, Platform, deploy, running_platform, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
V1 = "/api/v1"
Reached = httpx.Response | PodiumError


class World:
    """A platform with small limits, the coordinator as our own parts see it, and an agent."""

    def __init__(self, platform: Platform, http: httpx.AsyncClient, coordinator_url: str, agent: str, folder: Path) -> None:
        self.platform = platform
        self.http = http
        self.agent = agent
        self.instance = f"{V1}/instances/{agent}"
        self.folder = folder
        self._coordinator_url = coordinator_url
        self._signer = Signer((platform.data / "keys" / "secrets_key").read_text().strip())

    async def inside(self, target: str, caller: Caller | None = None, **headers: str) -> httpx.Response:
        """Ask the coordinator, as a gateway does."""
        caller = caller or Caller(tenant_id=PLATFORM_TENANT, admin=True)
        signed = {CALLER_HEADER: self._signer.sign(caller, "GET", target)} | headers
        return await self.http.get(self._coordinator_url + target, headers=signed)

    async def upload(self, files: dict[str, str | bytes], version: str = "1.0.0") -> httpx.Response:
        bundle = bundles.write_bundle(self.folder / "bundle.tar.gz", files)
        form = {"agent_type": "notes", "version": version}
        return await self.http.post(f"{V1}/deployments", data=form, files={"file": bundle.read_bytes()})

    async def say(self, text: str, **rest: Any) -> httpx.Response:
        return await self.http.post(f"{self.instance}/messages", json={"text": text} | rest)

    def forge(self, record: str, name: str, **changes: Any) -> None:
        """A record like the agent's, changed, under another name: as another host or release would leave it."""
        [found] = self.platform.data.glob(f"objects/**/instances/{self.agent}/{record},obj")
        forged = found.parents[1] / name / found.name
        forged.parent.mkdir(exist_ok=True)
        forged.write_text(json.dumps(json.loads(found.read_text()) | {"instance_id": name} | changes))


async def invalid_request(world: World) -> Reached:
    return await world.http.post(f"{world.instance}/messages", content=b"{")


async def invalid_bundle(world: World) -> Reached:
    form = {"agent_type": "notes", "version": "1.0.0"}
    return await world.http.post(f"{V1}/deployments", data=form, files={"file": b"no archive"})


async def unsupported_runtime(world: World) -> Reached:
    manifest = bundles.manifest().replace('"python"', '"typescript"')
    return await world.upload(bundles.files() | {"podium.toml": manifest})


async def unauthorized(world: World) -> Reached:
    return await world.http.get(world.instance, headers={"authorization": "Bearer pod_nobody"})


async def forbidden(world: World) -> Reached:
    return await world.inside(world.instance, Caller(tenant_id=PLATFORM_TENANT))


async def not_found(world: World) -> Reached:
    return await world.http.get(f"{V1}/instances/nobody")


async def instance_replaced(world: World) -> Reached:
    return await world.inside(world.instance, **{"x-podium-life": "99"})


async def method_not_allowed(world: World) -> Reached:
    answer = await world.http.put(world.instance)
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"
    return answer


async def conflict(world: World) -> Reached:
    deployment = (await world.http.get(world.instance)).json()["deployment_id"]
    return await world.http.delete(f"{V1}/deployments/{deployment}")


async def version_exists(world: World) -> Reached:
    assert (await world.upload(bundles.files())).status_code in (200, 201)
    return await world.upload(bundles.files(others={"more.py": "x = 1"}))


async def instance_exists(world: World) -> Reached:
    deployment = (await world.http.get(world.instance)).json()["deployment_id"]
    return await world.http.post(f"{V1}/instances", json={"deployment_id": deployment, "agent_id": world.agent})


async def no_turn(world: World) -> Reached:
    return await world.http.post(f"{world.instance}/stop", json={})


async def ask(world: World, message_id: str) -> str:
    """A question that waits."""
    sent = await world.http.post(f"{world.instance}/messages?wait=0", json={"text": "ask 0 why", "id": message_id})
    assert sent.json()["message_id"] == message_id
    page = f"{world.instance}/events?limit=1000"
    headers = {"accept": "application/json"}

    async def asked() -> bool:
        events = (await world.http.get(page, headers=headers)).json()["items"]
        return any(e.get("event_type") == "tool_question_requested" and e["message_id"] == message_id for e in events)

    await until(asked)
    return f"{message_id}.1"


async def answer_to(world: World, request_id: str, content: str) -> httpx.Response:
    return await world.http.post(f"{world.instance}/answer", json={"request_id": request_id, "content": content})


async def already_answered(world: World) -> Reached:
    question = await ask(world, "q1")
    assert (await answer_to(world, question, "because")).status_code == 200
    return await answer_to(world, question, "no, because")


async def question_closed(world: World) -> Reached:
    question = await ask(world, "q2")
    assert (await world.http.post(f"{world.instance}/stop", json={})).status_code == 200
    await world.http.get(f"{world.instance}/messages/q2?wait=30")
    return await answer_to(world, question, "too late")


async def not_a_file(world: World) -> Reached:
    await world.say("write notes.txt hello")
    return await world.http.get(f"{world.instance}/files/.podium")


async def too_slow(world: World) -> Reached:
    return await raw(world, b"GET /health HTTP/1.1\r\nhost: x\r\n")


async def raw(world: World, data: bytes) -> httpx.Response:
    """What is answered to these bytes until the connection is closed."""
    url = httpx.URL(world.platform.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(data)
    head, _, body = (await asyncio.wait_for(reader.read(), 30)).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode().split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return httpx.Response(int(status.split(" ")[1]), headers=headers, content=body)


async def too_large(world: World) -> Reached:
    return await world.say("x" * (2 << 20))


async def idempotency_mismatch(world: World) -> Reached:
    await world.say("echo one", id="same")
    return await world.say("echo other", id="same")


async def too_many(world: World) -> Reached:
    answers = [await world.http.post(f"{world.instance}/messages?wait=0", json={"text": "tokens 20 0.05"}) for _ in range(5)]
    await world.http.get(f"{world.instance}/messages/{answers[0].json()['message_id']}?wait=30")
    return answers[-1]


async def head_too_large(world: World) -> Reached:
    return await world.http.get("/health", headers={"x-large": "x" * 40_000})


async def turn_failed(world: World) -> Reached:
    return await world.say("fail 9")


async def not_available(world: World) -> Reached:
    return await world.http.get(f"{world.instance}/checkpoints")


async def instance_failed(world: World) -> Reached:
    assert (await world.upload(bundles.files(version="9.0.0") | {"agent.py": "raise RuntimeError"}, "9.0.0")).status_code == 201
    created = await world.http.post(f"{V1}/instances", json={"deployment_id": "notes:9.0.0", "agent_id": "broken"})
    assert created.status_code == 201
    return await world.http.post(f"{V1}/instances/broken/messages", json={"text": "hello"})


async def moved(world: World) -> Reached:
    world.forge("spec", "moved")
    world.forge("owner", "moved", coordinator_id="elsewhere")
    return await world.inside(f"{V1}/instances/moved")


async def newer_format(world: World) -> Reached:
    world.forge("owner", "newer", format=99)
    return await world.http.get(f"{V1}/instances/newer")


async def unavailable(world: World) -> Reached:
    world.forge("spec", "away")
    world.forge("owner", "away", coordinator_id="elsewhere")
    return await world.http.get(f"{V1}/instances/away")


async def not_configured(world: World) -> Reached:
    return await world.http.get(f"{V1}/config/models")


async def upstream_failed(world: World) -> Reached:
    """Our own API is no endpoint for models."""
    endpoint_for_models = Ensemble(world.platform.url, "no key of ours")
    try:
        await endpoint_for_models.models()
    except PodiumError as error:
        return error
    finally:
        await endpoint_for_models.close()
    raise AssertionError


async def internal(world: World) -> Reached:
    """A bug, by definition not reachable on purpose: whatever a handler raises."""

    async def broken(_: Any) -> Any:
        raise RuntimeError("a bug")

    app = Dispatcher()
    app.add("GET", "/", endpoint(broken))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        return await http.get("/")


PROVOKE: list[Callable[[World], Awaitable[Reached]]] = [
    invalid_request, invalid_bundle, unsupported_runtime, unauthorized, forbidden, not_found, instance_replaced,
    method_not_allowed, conflict, version_exists, instance_exists, no_turn, already_answered, question_closed, not_a_file,
    too_slow, too_large, idempotency_mismatch, too_many, head_too_large, turn_failed, not_available, instance_failed, moved,
    newer_format, unavailable, not_configured, upstream_failed, internal,
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("errors")
    async with running_platform(MAX_INBOX="2", REQUEST_HEAD_TIMEOUT="1s") as platform, platform.client() as client:
        agent = await client.create(await deploy(client, AGENTS / "probe", folder))
        headers = {"authorization": f"Bearer {platform.key}"}
        async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=60) as http:
            yield World(platform, http, (await client.coordinators())[0].url, agent.instance_id, folder)


async def test_how_each_code_is_reached_is_known() -> None:
    assert sorted(provoke.__name__ for provoke in PROVOKE) == sorted(by_code())


@pytest.mark.parametrize("provoke", PROVOKE, ids=lambda provoke: provoke.__name__)
async def test_a_code_is_reached(world: World, provoke: Callable[[World], Awaitable[Reached]]) -> None:
    kind = by_code()[provoke.__name__]
    reached = await provoke(world)
    if isinstance(reached, PodiumError):
        assert type(reached) is kind
        document = reached.problem("req_1")
    else:
        document = reached.json()
        assert reached.status_code == kind.status, document
        assert reached.headers["content-type"] == "application/problem+json"
        assert reached.headers["x-request-id"] == document["request_id"]
        assert int(reached.headers.get("retry-after", "1")) >= 0
    assert (document["code"], document["status"], document["retryable"]) == (kind.code, kind.status, kind.retryable), document
    assert document["title"] == kind.title
    assert document["type"] == f"urn:podium:error:{kind.code}"
    assert len(document["detail"]) >= 10
    assert "Traceback" not in document["detail"]
    if kind.code in ("too_many", "too_large", "head_too_large"):
        assert document["limit"] > 0

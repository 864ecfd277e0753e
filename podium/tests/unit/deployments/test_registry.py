import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from podium.auth import PLATFORM_TENANT
from podium.deployments.bundle import BundleLimits
from podium.deployments.registry import Deployment, Registry
from podium.objectstore.port import ObjectStore
from podium.protocol.errors import (
    Conflict,
    InvalidBundle,
    InvalidRequest,
    NewerFormat,
    NotAvailable,
    NotFound,
    PodiumError,
    VersionExists,
)
from tests.support import bundles
from tests.support.memory_store import Crash, FaultyStore, MemoryStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMITS = BundleLimits()
KEY = "dev/deployments/notes/1.0.0/notes-1.0.0.tar.gz"
RECORD = "dev/deployments/notes/1.0.0/deployment.json"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def registry(store: MemoryStore) -> Registry:
    return Registry(store, "dev")


async def publish(
    registry: Registry, folder: Path, agent_type: str = "notes", version: str = "1.0.0", *, tenant: str = "t1", extra: str = ""
) -> tuple[Deployment, bool]:
    """Publish a bundle; `extra` makes its bytes others."""
    path = folder / f"{agent_type}-{version}-{extra}.tar.gz"
    if not path.exists():
        bundles.write_bundle(path, bundles.files(agent_type, version, others={"extra.txt": extra}))
    return await registry.publish(path, agent_type=agent_type, version=version, tenant_id=tenant, limits=LIMITS, now=NOW)


async def test_publish(registry: Registry, store: MemoryStore, tmp_path: Path) -> None:
    deployment, created = await publish(registry, tmp_path)
    assert created
    body = (tmp_path / "notes-1.0.0-.tar.gz").read_bytes()
    assert store.objects[KEY] == body
    assert deployment.size_bytes == len(body)
    assert deployment.checksum.startswith("sha256:")
    assert deployment.deployment_id == f"notes:1.0.0@{deployment.checksum[7:15]}"
    assert (deployment.created_at, deployment.tenant_id, deployment.format) == (NOW, "t1", 1)
    assert deployment.manifest.agent.entrypoint == "agent:Agent"
    assert await registry.get("notes", "t1") == deployment


async def test_same_bytes_again(registry: Registry, tmp_path: Path) -> None:
    first, _ = await publish(registry, tmp_path)
    again, created = await publish(registry, tmp_path)
    assert again == first
    assert not created


async def test_other_bytes(registry: Registry, tmp_path: Path) -> None:
    await publish(registry, tmp_path)
    await publish(registry, tmp_path, version="1.3.0")
    with pytest.raises(VersionExists) as refused:
        await publish(registry, tmp_path, extra="x")
    assert "1.3.1" in refused.value.detail
    assert refused.value.extra == {"next_version": "1.3.1"}


@pytest.mark.parametrize(
    ("agent_type", "version", "key"), [("other", "1.0.0", "agent.type"), ("notes", "1.0.1", "agent.version")]
)
async def test_form_contradicts_manifest(
    registry: Registry, store: MemoryStore, tmp_path: Path, agent_type: str, version: str, key: str
) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.gz")
    with pytest.raises(InvalidBundle, match=key):
        await registry.publish(path, agent_type=agent_type, version=version, tenant_id="t1", limits=LIMITS, now=NOW)
    assert store.objects == {}


async def test_references(registry: Registry, tmp_path: Path) -> None:
    for version in ("1.2.0", "1.10.0", "2.0.0-rc.1"):
        await publish(registry, tmp_path, version=version)
    assert (await registry.get("notes", "t1")).version == "1.10.0"
    assert (await registry.get("notes:2.0.0-rc.1", "t1")).version == "2.0.0-rc.1"
    full = await registry.get("notes:1.2.0", "t1")
    assert await registry.get(full.deployment_id, "t1") == full
    for reference, hint in (
        ("nothing", "deploy it first"),
        ("notes:3.0.0", "there is notes:2.0.0-rc.1, notes:1.10.0, notes:1.2.0"),
        ("notes:1.2.0@00000000", full.deployment_id),
    ):
        with pytest.raises(NotFound) as missing:
            await registry.get(reference, "t1")
        assert hint in missing.value.detail
    with pytest.raises(InvalidRequest):
        await registry.get("notes@latest", "t1")


async def test_only_prereleases(registry: Registry, tmp_path: Path) -> None:
    await publish(registry, tmp_path, version="1.0.0-dev.1")
    with pytest.raises(NotFound, match=r"notes:1\.0\.0-dev\.1"):
        await registry.get("notes", "t1")


async def test_types_belong_to_tenants(registry: Registry, tmp_path: Path) -> None:
    await publish(registry, tmp_path, "mine", tenant="t1")
    await publish(registry, tmp_path, "shared", tenant=PLATFORM_TENANT)
    assert (await registry.get("shared", "t2")).agent_type == "shared"
    assert (await registry.get("mine", PLATFORM_TENANT)).agent_type == "mine"
    with pytest.raises(NotFound):
        await registry.get("mine", "t2")
    for agent_type, tenant in (("mine", "t2"), ("shared", "t1"), ("mine", PLATFORM_TENANT)):
        with pytest.raises(Conflict):
            await publish(registry, tmp_path, agent_type, version="2.0.0", tenant=tenant)
    assert [item.agent_type for item in (await registry.list("t2", limit=10, cursor=None))[0]] == ["shared"]
    assert [item.agent_type for item in (await registry.list("t1", limit=10, cursor=None))[0]] == ["mine", "shared"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_list_in_pages(registry: Registry, tmp_path: Path, limit: int) -> None:
    for agent_type, tenant in (("a", "t1"), ("b", "t2"), ("c", "t1")):
        for version in ("1.0.0", "1.1.0", "1.1.0-rc.1"):
            await publish(registry, tmp_path, agent_type, version, tenant=tenant)
    items: list[str] = []
    cursor = None
    while True:
        page, cursor = await registry.list("t1", limit=limit, cursor=cursor)
        items += [f"{item.agent_type}:{item.version}" for item in page]
        if cursor is None:
            break
        assert len(page) == limit
    assert items == [f"{name}:{version}" for name in "ac" for version in ("1.0.0", "1.1.0-rc.1", "1.1.0")]


@pytest.mark.parametrize(
    ("limit", "cursor"), [(0, None), (1001, None), (1, "notes"), (1, "no cursor"), (1, "notes:1.0.0@01234567")]
)
async def test_list_refuses(registry: Registry, limit: int, cursor: str | None) -> None:
    with pytest.raises(InvalidRequest):
        await registry.list("t1", limit=limit, cursor=cursor)


async def test_race_of_the_same_bytes(registry: Registry, tmp_path: Path) -> None:
    results = await asyncio.gather(*(publish(registry, tmp_path) for _ in range(5)))
    assert sum(created for _, created in results) == 1
    assert len({deployment.write_id for deployment, _ in results}) == 1


async def test_race_of_different_bytes(registry: Registry, store: MemoryStore, tmp_path: Path) -> None:
    attempts = (publish(registry, tmp_path, extra=str(n)) for n in range(5))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    won = [result[0] for result in results if isinstance(result, tuple)]
    assert len(won) == 1
    assert sum(isinstance(result, VersionExists) for result in results) == 4
    assert await registry.get("notes:1.0.0", "t1") == won[0]
    assert len(store.objects[KEY]) == won[0].size_bytes


async def test_race_of_tenants_for_a_type(registry: Registry, tmp_path: Path) -> None:
    attempts = (publish(registry, tmp_path, tenant=f"t{n}") for n in range(5))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 4


def crashing(store: ObjectStore, crash_at: int) -> FaultyStore:
    """Dies at its n-th write: after it where n is odd, before it where n is even."""
    seen = 0

    def step(method: str, key: str) -> None:
        nonlocal seen
        if method.startswith("create"):
            seen += 1
            if seen == crash_at:
                raise Crash

    return FaultyStore(store, before=step, after=step)


@pytest.mark.parametrize("crash_at", range(1, 7))
async def test_crash_at_every_write(store: MemoryStore, tmp_path: Path, crash_at: int) -> None:
    with pytest.raises(Crash):
        await publish(Registry(crashing(store, crash_at), "dev"), tmp_path)
    registry = Registry(store, "dev")
    if RECORD not in store.objects:
        with pytest.raises(PodiumError):
            await registry.get("notes", "t1")
        assert await registry.list("t1", limit=10, cursor=None) == ([], None)
    if KEY in store.objects:
        with pytest.raises(VersionExists, match=r"1\.0\.1"):
            await publish(registry, tmp_path, extra="other bytes")
    deployment, created = await publish(registry, tmp_path)
    assert created == (crash_at < 6)
    assert await registry.get(deployment.deployment_id, "t1") == deployment


async def test_record_of_a_newer_release(registry: Registry, store: MemoryStore, tmp_path: Path) -> None:
    await publish(registry, tmp_path)
    store.objects[RECORD] = store.objects[RECORD].replace(b'"format":1', b'"format":2')
    with pytest.raises(NewerFormat):
        await registry.get("notes:1.0.0", "t1")


@pytest.mark.parametrize("more", ['[network]\negress = "deny"', '[lifecycle]\ndurability = "replicated"'])
async def test_what_is_not_kept_yet_is_refused(registry: Registry, store: MemoryStore, tmp_path: Path, more: str) -> None:
    content = {"podium.toml": bundles.manifest(more=more), "agent.py": "class Agent: ..."}
    path = bundles.write_bundle(tmp_path / "b.tar.gz", content)
    with pytest.raises(NotAvailable):
        await registry.publish(path, agent_type="notes", version="1.0.0", tenant_id="t1", limits=LIMITS, now=NOW)
    assert not store.objects

"""Real installs by the real uv from the real index."""

import asyncio
import os
import stat
import subprocess
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from podium.deployments.bundle import BundleLimits
from podium.deployments.cache import DeploymentCache, open_cache
from podium.deployments.environment import EnvironmentFailed
from podium.deployments.interpreter import Interpreter
from podium.deployments.registry import Deployment, Registry
from podium.protocol.errors import Unavailable
from tests.support import bundles
from tests.support.memory_store import FaultyStore, MemoryStore

pytestmark = pytest.mark.timeout(300)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
AGENT_UID = 199_997


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def cache(
    data: Path, store: MemoryStore, interpreter: Interpreter, build_uid: int | None
) -> AsyncIterator[DeploymentCache]:
    cache = await open_cache(data, store, "dev", interpreter=interpreter, build_uid=build_uid)
    yield cache
    await cache.close()


async def publish(store: MemoryStore, folder: Path, others: Mapping[str, str | bytes], version: str = "1.0.0") -> Deployment:
    path = bundles.write_bundle(folder / f"{version}.tar.gz", bundles.files("notes", version, others=others))
    registry = Registry(store, "dev")
    published = await registry.publish(path, agent_type="notes", version=version, tenant_id="t", limits=BundleLimits(), now=NOW)
    return published[0]


def run(python: Path, code: str, cwd: Path) -> str:
    """What an agent's process would see."""
    uid = AGENT_UID if os.getuid() == 0 else None
    done = subprocess.run(
        [python, "-I", "-B", "-c", code], user=uid, group=uid, extra_groups=None if uid is None else (), cwd=cwd, env={},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_a_wheel_is_installed(cache: DeploymentCache, store: MemoryStore, data: Path, tmp_path: Path) -> None:
    deployment = await publish(store, tmp_path, {"requirements.txt": "iniconfig\npodium>=99"})
    prepared = await cache.prepare(deployment)
    assert prepared.deployment_id == deployment.deployment_id
    assert prepared.manifest.agent.type == "notes"
    assert (prepared.bundle_dir / "agent.py").is_file()
    code = "import iniconfig, podium.agent, msgspec; print(iniconfig.__cached__); print(podium.agent.__file__)"
    cached, sdk = run(prepared.python, code, prepared.bundle_dir).splitlines()
    assert Path(cached).is_file()
    assert Path(cached).is_relative_to(data / "environments")
    assert Path(sdk).is_relative_to(data / "environments")
    assert list(prepared.bundle_dir.glob("__pycache__/agent.*.pyc"))
    assert list((data / "building").iterdir()) == []


async def test_it_is_read_only_for_others(cache: DeploymentCache, store: MemoryStore, data: Path, tmp_path: Path) -> None:
    prepared = await cache.prepare(await publish(store, tmp_path, {}))
    for root in (prepared.bundle_dir, prepared.python.parents[1]):
        for path in (root, *root.rglob("*")):
            status = path.lstat()
            assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid()), path
            assert stat.S_ISLNK(status.st_mode) or stat.S_IMODE(status.st_mode) in (0o644, 0o755), path
    for name in ("deployments", "environments", "building", "tools"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o711
    assert stat.S_IMODE(prepared.bundle_dir.parent.stat().st_mode) == 0o711


async def test_once_for_all_who_ask(
    data: Path, store: MemoryStore, interpreter: Interpreter, build_uid: int | None, tmp_path: Path
) -> None:
    counting = FaultyStore(store)
    cache = await open_cache(data, counting, "dev", interpreter=interpreter, build_uid=build_uid)
    deployment = await publish(store, tmp_path, {})
    first = asyncio.create_task(cache.prepare(deployment))
    waiting = [asyncio.create_task(cache.prepare(deployment)) for _ in range(4)]
    await asyncio.sleep(0)
    first.cancel()
    results = await asyncio.gather(*waiting)
    assert all(result == results[0] for result in results)
    again = await open_cache(data, counting, "dev", interpreter=interpreter, build_uid=build_uid)
    assert await again.prepare(deployment) == results[0]
    assert [method for method, _ in counting.calls] == ["fetch_to_file"]
    other = await publish(store, tmp_path, {"data.txt": "x"}, "1.0.1")
    prepared = await again.prepare(other)
    assert prepared.python == results[0].python
    assert prepared.bundle_dir != results[0].bundle_dir


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"requirements.txt": "this-name-is-not-on-any-index-5f3a9c"}, "this-name-is-not-on-any-index-5f3a9c"),
        ({"pyproject.toml": "[project]\nrequires-python = '>=3.99'"}, "requires-python = '>=3.99'"),
        ({"requirements.txt": "iniconfig>=999"}, "iniconfig"),
    ],
    ids=["unknown", "requires-python", "no such version"],
)
async def test_what_cannot_be_installed(
    cache: DeploymentCache, store: MemoryStore, data: Path, tmp_path: Path, files: dict[str, str], said: str
) -> None:
    deployment = await publish(store, tmp_path, files)
    with pytest.raises(EnvironmentFailed) as failed:
        await cache.prepare(deployment)
    assert said in str(failed.value)
    assert len(str(failed.value).splitlines()) <= 21
    assert list((data / "building").iterdir()) == []
    assert list((data / "environments").glob("*")) == []


async def test_a_failure_is_remembered_for_a_while(cache: DeploymentCache, store: MemoryStore, tmp_path: Path) -> None:
    now = 1000.0
    cache._clock = lambda: now
    deployment = await publish(store, tmp_path, {"pyproject.toml": "[project]\nrequires-python = '>=3.99'"})
    with pytest.raises(EnvironmentFailed):
        await cache.prepare(deployment)
    cache._environments._check_python = lambda dependencies: None  # type: ignore[method-assign]
    now += 29
    with pytest.raises(EnvironmentFailed, match=r"3\.99"):
        await cache.prepare(deployment)
    now += 2
    assert (await cache.prepare(deployment)).python.exists()


async def test_a_missing_or_damaged_bundle(cache: DeploymentCache, store: MemoryStore, data: Path, tmp_path: Path) -> None:
    deployment = await publish(store, tmp_path, {})
    key = "dev/deployments/notes/1.0.0/notes-1.0.0.tar.gz"
    good = store.objects.pop(key)
    with pytest.raises(Unavailable, match="missing"):
        await cache.prepare(deployment)
    store.objects[key] = good[:-1] + b"x"
    with pytest.raises(Unavailable, match="damaged"):
        await cache.prepare(deployment)
    assert list((data / "building").iterdir()) == []
    assert not (data / "deployments").exists()
    store.objects[key] = good
    await cache.prepare(deployment)


async def test_leftovers_of_a_crash_are_removed(
    data: Path, store: MemoryStore, interpreter: Interpreter, build_uid: int | None, tmp_path: Path
) -> None:
    leftover = data / "building" / "0123456789abcdef" / "environment" / "deep"
    leftover.mkdir(parents=True)
    (leftover / "file").write_text("x")
    (leftover / "link").symlink_to("/etc")
    cache = await open_cache(data, store, "dev", interpreter=interpreter, build_uid=build_uid)
    assert list((data / "building").iterdir()) == []
    assert (await cache.prepare(await publish(store, tmp_path, {}))).python.exists()


async def test_what_was_removed_from_the_registry_is_evicted(
    cache: DeploymentCache, store: MemoryStore, data: Path, tmp_path: Path
) -> None:
    kept, removed = [await cache.prepare(await publish(store, tmp_path, {}, version)) for version in ("1.0.0", "2.0.0")]
    await store.delete("dev/deployments/notes/2.0.0/deployment.json")
    await cache.evict(Registry(store, "dev").exists)
    assert kept.bundle_dir.is_dir()
    assert [path.name for path in (data / "deployments" / "notes").iterdir()] == ["1.0.0"]
    assert not removed.bundle_dir.exists()


async def test_closing_ends_an_install(cache: DeploymentCache, store: MemoryStore, data: Path, tmp_path: Path) -> None:
    deployment = await publish(store, tmp_path, {})
    asked = asyncio.create_task(cache.prepare(deployment))
    while not list((data / "building").glob("*/home")):
        await asyncio.sleep(0.001)
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert list((data / "building").iterdir()) == []
    assert (await cache.prepare(deployment)).python.exists()


async def test_code_that_does_not_compile_is_left_to_the_import(
    cache: DeploymentCache, store: MemoryStore, tmp_path: Path
) -> None:
    broken = {"broken.py": "def (", "deep.py": "(" * 100_000, "nul.py": b"\0", "link.py": "x = 1"}
    prepared = await cache.prepare(await publish(store, tmp_path, broken))
    names = {path.name.split(".")[0] for path in prepared.bundle_dir.glob("__pycache__/*.pyc")}
    assert {"agent", "link"} <= names
    assert "broken" not in names

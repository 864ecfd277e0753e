"""Epochs, lives and tombstones, over real states and records; the agents themselves cannot start here and need not."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from podium.coordinator.configuration import Configuration
from podium.coordinator.coordinator import Coordinator
from podium.coordinator.host import Host, Limits
from podium.coordinator.layout import DataDirectory
from podium.coordinator.uids import Uids
from podium.deployments.cache import open_cache
from podium.deployments.interpreter import choose_interpreter
from podium.deployments.registry import Registry
from podium.launcher.processes import ProcessLauncher
from podium.protocol.errors import InstanceReplaced, Moved, NewerFormat, NotFound
from podium.protocol.events import Truncate
from podium.protocol.ids import Cursor
from podium.records.configuration import Configurations
from podium.records.instances import Instances, Spec
from podium.sealing import Sealer
from podium.state.sqlite import SqliteStates
from podium.workspace.directory import DirectoryWorkspace
from tests.support.memory_cluster import MemoryCluster
from tests.support.memory_store import MemoryStore

BODY = {"text": "x", "role": "user", "attachments": []}


def _now() -> datetime:
    return datetime.now(UTC)


class Machine:
    """One data directory and one object store, over which coordinators come and go."""

    def __init__(self, folder: Path) -> None:
        self.directory = DataDirectory(folder)
        self.directory.prepare()
        self.store = MemoryStore()
        self.records = Instances(self.store, "dev")
        self.executor = ThreadPoolExecutor(2)

    async def coordinator(self, *, boot_id: str = "boot-1", coordinator_id: str = "c1") -> Coordinator:
        interpreter = choose_interpreter(None, None)
        cache = await open_cache(self.directory.root, self.store, "dev", interpreter=interpreter, build_uid=None)
        states = await SqliteStates.open(
            self.directory.journal, lambda name: self.directory.instance(name).state_db, self.executor, _now
        )
        host = Host(
            directory=self.directory, launcher=ProcessLauncher(self.directory.run / "none.sock", reach_timeout_s=0.1),
            registry=Registry(self.store, "dev"), deployments=cache, states=states, workspace=DirectoryWorkspace,
            uids=Uids(self.directory.host_db), executor=self.executor, clock=_now, boot_id=boot_id,
            coordinator_id=coordinator_id, incarnation="i", limits=Limits(),
            configuration=Configuration(Configurations(self.store, "dev"), MemoryCluster()), sealer=Sealer("for tests only!!"),
        )  # fmt: skip
        return Coordinator(host, self.records, MemoryCluster(), "http://127.0.0.1:1")

    async def specify(self, instance_id: str) -> None:
        spec = Spec(instance_id=instance_id, tenant_id="platform", deployment_id="none:1.0.0@00000000", config={}, labels={},
                    created_at=datetime.now(UTC))  # fmt: skip
        assert await self.records.specs.create(self.records.spec_key(instance_id), spec)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def crash(coordinator: Coordinator) -> None:
    """As if the process had been killed: nothing is closed clean."""
    for instance in coordinator._loaded.values():
        await instance._driver._abandon("crash")
        await instance.logs.close()
        await instance.state.close(clean=False)


async def test_after_another_boot_the_line_goes_on_in_a_new_epoch(machine: Machine) -> None:
    await machine.specify("a")
    first = await machine.coordinator()
    instance = await first.create("a")
    await instance.accept("m1", "message", BODY, {})
    assert instance.stream.head == (1, 0)
    await crash(first)
    second = await machine.coordinator(boot_id="boot-2")
    async with second.using("a") as instance:
        assert instance.stream.head == (2, 0)
        position = await instance.stream.position(Cursor(1, 7))
        assert position.notices == [Truncate(epoch=2, after_seq=0)]
        assert (await instance.state.overview()).queued == 1
    owner = await machine.records.owner("a")
    assert owner
    assert [(base.epoch, base.base_seq) for base in owner.record.bases] == [(1, 0), (2, 0)]
    await second.stop(0)
    third = await machine.coordinator(boot_id="boot-3")
    async with third.using("a") as instance:
        assert instance.stream.head.epoch == 2  # stopped clean: nothing unsynced was left
    await third.stop(0)


async def test_within_one_boot_the_epoch_stays(machine: Machine) -> None:
    await machine.specify("a")
    first = await machine.coordinator()
    await first.create("a")
    await crash(first)
    second = await machine.coordinator()
    async with second.using("a") as instance:
        assert instance.stream.head.epoch == 1
    await second.stop(0)


async def test_a_tombstone_keeps_the_epoch_and_a_new_life_refuses_the_old_ones_requests(machine: Machine) -> None:
    await machine.specify("a")
    coordinator = await machine.coordinator()
    await coordinator.create("a")
    await coordinator.delete("a")
    await coordinator.delete("a")
    with pytest.raises(NotFound):
        async with coordinator.using("a"):
            pass
    assert not coordinator.host.directory.instance("a").root.exists()
    await machine.specify("a")
    instance = await coordinator.create("a")
    assert (instance.life, instance.stream.head) == (2, (2, 0))
    with pytest.raises(InstanceReplaced):
        async with coordinator.using("a", life=1):
            pass
    await coordinator.stop(0)


async def test_another_coordinators_instance_is_moved(machine: Machine) -> None:
    await machine.specify("a")
    first = await machine.coordinator()
    await first.create("a")
    await crash(first)
    second = await machine.coordinator(coordinator_id="c2")
    with pytest.raises(Moved):
        async with second.using("a"):
            pass
    with pytest.raises(Moved):
        await second.create("a")


async def test_two_creates_at_once_make_one_instance(machine: Machine) -> None:
    await machine.specify("a")
    coordinator = await machine.coordinator()
    first, second = await asyncio.gather(coordinator.create("a"), coordinator.create("a"))
    assert first is second
    await coordinator.stop(0)


async def test_a_newer_format_is_refused_and_others_go_on(machine: Machine) -> None:
    import apsw

    for name in ("a", "b"):
        await machine.specify(name)
    first = await machine.coordinator()
    for name in ("a", "b"):
        await first.create(name)
    await first.stop(0)
    with apsw.Connection(str(machine.directory.instance("a").state_db)) as db:
        db.pragma("user_version", 99)
    second = await machine.coordinator()
    await second._recover("a", asyncio.Semaphore(1))
    with pytest.raises(NewerFormat):
        async with second.using("a"):
            pass
    async with second.using("b") as instance:
        assert instance.spec.instance_id == "b"
    assert machine.directory.instance("a").state_db.exists()
    await second.stop(0)

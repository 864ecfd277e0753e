"""Epochs, lives and tombstones, over real states and records; the agents themselves cannot start here and need not."""

import asyncio
from pathlib import Path

import pytest

from podium.protocol.errors import InstanceReplaced, Moved, NewerFormat, NotFound
from podium.protocol.events import Truncate
from podium.protocol.ids import Cursor
from tests.support.machine import Machine, crash

BODY = {"text": "x", "role": "user", "attachments": []}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


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
    with pytest.raises(InstanceReplaced):
        await coordinator.delete("a", life=1)  # a late repeat of the first removal
    assert (await coordinator.create("a")) is instance
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

"""What a coordinator makes of what another one left: real states, records and launcher; its processes are no agents."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from podium.coordinator.coordinator import Coordinator
from podium.coordinator.host import Limits
from podium.launcher.port import Launch
from podium.protocol.events import Event
from podium.state.journal.segments import Header, encode_header
from podium.state.port import Hook
from tests.support.launchers import RunningLauncher, is_running, running_launcher, until
from tests.support.machine import Machine, crash

BODY = {"text": "x", "role": "user", "attachments": []}


@pytest.fixture
def launcher() -> Iterator[RunningLauncher]:
    with running_launcher() as running:
        yield running


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    yield Machine(tmp_path)


async def sleeping(machine: Machine, coordinator: Coordinator, name: str) -> None:
    """An instance that was put to sleep and whose files are closed."""
    await machine.specify(name)
    instance = await coordinator._open(await coordinator._spec(name), await coordinator._ownership.claim(name))
    assert await instance.state.park("idle")
    await instance.unload()
    del coordinator._loaded[name]


async def at_a_message(machine: Machine, coordinator: Coordinator, launcher: RunningLauncher, name: str) -> Launch:
    """An instance whose process is at a message, and says nothing."""
    await machine.specify(name)
    instance = await coordinator._open(await coordinator._spec(name), await coordinator._ownership.claim(name))
    await instance.state.accept("m1", "message", BODY, {"tenant_id": "platform"}, 10)
    launch = await coordinator.host.launcher.start(launcher.agent(launch_id=f"launch-of-{name}"))
    await instance.state.begin_launch(launch.launch_id, None)
    assert await instance.state.begin_next(launch.launch_id, None)
    return launch


async def failures(coordinator: Coordinator, name: str) -> list[Event]:
    async with coordinator.using(name) as instance:
        events = await instance.state.events_after(0, 1000)
    return [event for event in events if event.event_type == "attempt_failed"]


async def test_those_that_sleep_are_not_opened_those_with_something_to_do_are(
    machine: Machine, launcher: RunningLauncher
) -> None:
    first = await machine.coordinator(launcher=launcher.socket)
    for name in ("asleep", "asked", "tailed"):
        await sleeping(machine, first, name)
    async with first.using("asked") as instance:
        await instance.state.accept("m1", "message", BODY, {"tenant_id": "platform"}, 10)
    await crash(first)
    second = await machine.coordinator(launcher=launcher.socket)
    machine.directory.instance("tailed").state_db.with_name("journal.tail").write_bytes(encode_header(Header(0, 0)))
    await second.start()
    assert second._loaded.keys() == {"asked", "tailed"}
    async with second.using("asleep") as instance:
        assert instance.status.value == "hibernated"
    await second.stop(0)


async def test_a_process_that_nobody_claims_ends(machine: Machine, launcher: RunningLauncher) -> None:
    first = await machine.coordinator(launcher=launcher.socket)
    launch = await first.host.launcher.start(launcher.agent())
    await first.start()
    assert not is_running(launch.pid)
    assert await first.host.launcher.list() == []
    await first.stop(0)


async def test_the_process_of_an_instance_that_has_moved_ends_before_its_files_go(
    machine: Machine, launcher: RunningLauncher
) -> None:
    first = await machine.coordinator(launcher=launcher.socket)
    launch = await at_a_message(machine, first, launcher, "a")
    await sleeping(machine, first, "b")
    await crash(first)
    second = await machine.coordinator(coordinator_id="c2", launcher=launcher.socket)
    await second.start()
    assert not is_running(launch.pid)
    assert not machine.directory.instance("a").root.exists()
    await until(lambda: not machine.directory.instance("b").root.exists())
    await second.stop(0)


async def test_an_agent_that_does_not_come_back_is_ended_and_its_attempt_interrupted(
    machine: Machine, launcher: RunningLauncher
) -> None:
    first = await machine.coordinator(launcher=launcher.socket)
    launch = await at_a_message(machine, first, launcher, "a")
    await crash(first)
    second = await machine.coordinator(launcher=launcher.socket, limits=Limits(return_timeout_s=0.2))
    await second.start()
    async with second.using("a") as instance:
        await instance._standing.until(lambda: instance.status.value == "failed", 20)  # its deployment is not there to try again
    assert not is_running(launch.pid)
    [failed] = await failures(second, "a")
    assert (failed.content["outcome"], failed.content["will_retry"]) == ("interrupted", True)
    await second.stop(0)


async def test_after_another_boot_nothing_is_adopted(machine: Machine, launcher: RunningLauncher) -> None:
    first = await machine.coordinator(launcher=launcher.socket)
    launch = await at_a_message(machine, first, launcher, "a")
    await crash(first)
    second = await machine.coordinator(launcher=launcher.socket, boot_id="boot-2")
    await second.start()
    assert not is_running(launch.pid)
    [failed] = await failures(second, "a")
    assert (failed.content["outcome"], failed.epoch) == ("interrupted", 2)
    await second.stop(0)


async def test_an_exit_while_there_was_no_coordinator_is_known(machine: Machine, launcher: RunningLauncher) -> None:
    first = await machine.coordinator(launcher=launcher.socket)
    launch = await at_a_message(machine, first, launcher, "a")
    await crash(first)
    await first.host.launcher.kill(launch.launch_id)
    await first.host.launcher.wait(launch.launch_id)
    second = await machine.coordinator(launcher=launcher.socket)
    await second.start()
    [failed] = await failures(second, "a")
    assert (failed.content["outcome"], failed.content["will_retry"]) == ("exit", True)
    assert "signal 9" in failed.content["message"]
    await second.stop(0)


async def test_a_shutdown_that_was_all_but_recorded_is_a_sleep(machine: Machine, launcher: RunningLauncher) -> None:
    first = await machine.coordinator(launcher=launcher.socket)
    await machine.specify("a")
    instance = await first._open(await first._spec("a"), await first._ownership.claim("a"))
    launch = await first.host.launcher.start(launcher.agent("pass"))
    await instance.state.begin_launch(launch.launch_id, None)
    await instance.state.begin_hook(
        launch.launch_id, Hook(kind="shutdown", serial=1, message_id="s", reason="hibernate", returned=True)
    )
    await first.host.launcher.wait(launch.launch_id)
    await crash(first)
    second = await machine.coordinator(launcher=launcher.socket)
    await second.start()
    async with second.using("a") as instance:
        overview = await instance.state.overview()
        assert (instance.status.value, overview.reason) == ("hibernated", "asked")
        assert overview.last_exit and overview.last_exit.code == 0
    await second.stop(0)

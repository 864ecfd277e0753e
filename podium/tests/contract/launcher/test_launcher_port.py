"""What every adapter of the launcher port does, shown with real processes."""

import asyncio
import json
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from podium.launcher.port import Exit, Launcher, LaunchError
from podium.launcher.processes import ProcessLauncher
from tests.support.launchers import RunningLauncher, is_running, running_launcher, until


@pytest.fixture
def running() -> Iterator[RunningLauncher]:
    with running_launcher() as launcher:
        yield launcher


@pytest.fixture(params=["processes"])
async def launcher(running: RunningLauncher) -> AsyncIterator[Launcher]:
    adapter = ProcessLauncher(running.socket)
    yield adapter
    await adapter.close()


async def test_a_process_is_started_as_the_spec_says(launcher: Launcher, running: RunningLauncher, tmp_path: Path) -> None:
    code = """
import json, os, sys
facts = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "stdin": sys.stdin.read(), "pid": os.getpid()}
print(json.dumps(facts), flush=True)
print("to stderr", file=sys.stderr)
"""
    spec = running.agent(code, cwd=str(tmp_path), env={"LC_ALL": "C.UTF-8", "ONLY": "this"})
    launch = await launcher.start(spec)
    assert await launcher.wait(spec.launch_id) == Exit(code=0)
    facts, complaint = running.said().splitlines()
    assert json.loads(facts) == {
        "argv": [],
        "env": {"LC_ALL": "C.UTF-8", "ONLY": "this"},
        "cwd": str(tmp_path),
        "stdin": "",
        "pid": launch.pid,
    }
    assert complaint == "to stderr"


async def test_output_is_private_and_appended(launcher: Launcher, running: RunningLauncher) -> None:
    for word in ("first", "second"):
        spec = running.agent(f"print({word!r})")
        await launcher.start(spec)
        await launcher.wait(spec.launch_id)
    assert running.said() == "first\nsecond\n"
    assert stat.S_IMODE(running.output.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(0)", Exit(code=0)),
        ("raise SystemExit(7)", Exit(code=7)),
        ("import os; os.kill(os.getpid(), 15)", Exit(signal=15)),
        ("import os; os.abort()", Exit(signal=signal.SIGABRT)),
    ],
)
async def test_wait_says_how_it_ended(launcher: Launcher, running: RunningLauncher, code: str, expected: Exit) -> None:
    spec = running.agent(code)
    await launcher.start(spec)
    assert await launcher.wait(spec.launch_id) == expected
    assert await launcher.wait(spec.launch_id) == expected
    assert [launch.exit for launch in await launcher.list()] == [expected]


async def test_many_wait_for_one(launcher: Launcher, running: RunningLauncher) -> None:
    spec = running.agent()
    await launcher.start(spec)
    waiting = [asyncio.create_task(launcher.wait(spec.launch_id)) for _ in range(5)]
    await launcher.list()
    await launcher.kill(spec.launch_id)
    assert await asyncio.gather(*waiting) == [Exit(signal=signal.SIGKILL)] * 5


async def test_a_waiter_that_leaves_takes_nothing_from_the_others(launcher: Launcher, running: RunningLauncher) -> None:
    spec = running.agent()
    await launcher.start(spec)
    leaving, staying = (asyncio.create_task(launcher.wait(spec.launch_id)) for _ in range(2))
    await launcher.list()
    leaving.cancel()
    await launcher.kill(spec.launch_id)
    assert await staying == Exit(signal=signal.SIGKILL)


async def test_starting_a_known_launch_returns_it(launcher: Launcher, running: RunningLauncher) -> None:
    spec = running.agent()
    first, second = await asyncio.gather(launcher.start(spec), launcher.start(spec))
    assert first == second == await launcher.start(spec)
    await launcher.kill(spec.launch_id)
    await launcher.wait(spec.launch_id)
    again = await launcher.start(spec)
    assert (again.pid, again.exit) == (first.pid, Exit(signal=signal.SIGKILL))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"argv": ["/no/such/program"]}, "cannot run /no/such/program: No such file or directory"),
        ({"argv": ["/etc"]}, "cannot run /etc: Permission denied"),
        ({"argv": ["python3"]}, "the program must be an absolute path, not 'python3'"),
        ({"argv": []}, "the program must be an absolute path, not ''"),
        ({"cwd": "/no/such/directory"}, "cannot enter /no/such/directory: No such file or directory"),
        ({"output": "/no/such/file"}, "cannot open /no/such/file: No such file or directory"),
        ({"argv": ["/bin/true", "a\0b"]}, "cannot run /bin/true: embedded null byte"),
        ({"launch_id": ""}, "the launch has no launch_id"),
    ],
)
async def test_what_cannot_start_says_why(
    launcher: Launcher, running: RunningLauncher, changes: dict[str, object], reason: str
) -> None:
    spec = running.agent(**changes)
    with pytest.raises(LaunchError) as caught:
        await launcher.start(spec)
    assert str(caught.value) == reason
    assert await launcher.list() == []
    assert await launcher.wait(spec.launch_id) == Exit()


async def test_a_failed_start_may_be_tried_again(launcher: Launcher, running: RunningLauncher) -> None:
    with pytest.raises(LaunchError):
        await launcher.start(running.agent(launch_id="x", argv=["/no/such/program"]))
    launch = await launcher.start(running.agent(launch_id="x"))
    assert is_running(launch.pid)


async def test_output_is_never_written_through_a_link(launcher: Launcher, running: RunningLauncher, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(LaunchError, match="Too many levels of symbolic links"):
        await launcher.start(running.agent(output=str(tmp_path / "link")))
    assert not (tmp_path / "target").exists()


async def test_kill_ends_a_process_that_ignores_everything(launcher: Launcher, running: RunningLauncher) -> None:
    spec = running.agent(
        "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(1000)"
    )
    launch = await launcher.start(spec)
    await until(lambda: "up" in running.said())
    await launcher.kill(spec.launch_id)
    await launcher.kill(spec.launch_id)
    assert await launcher.wait(spec.launch_id) == Exit(signal=signal.SIGKILL)
    await launcher.kill(spec.launch_id)
    assert not is_running(launch.pid)


async def test_what_is_unknown_has_ended(launcher: Launcher) -> None:
    await launcher.kill("unknown")
    await launcher.forget("unknown")
    assert await launcher.wait("unknown") == Exit()


async def test_forget_drops_only_what_has_ended(launcher: Launcher, running: RunningLauncher) -> None:
    spec = running.agent()
    launch = await launcher.start(spec)
    await launcher.forget(spec.launch_id)
    assert await launcher.list() == [launch]
    await launcher.kill(spec.launch_id)
    await launcher.wait(spec.launch_id)
    await launcher.forget(spec.launch_id)
    await launcher.forget(spec.launch_id)
    assert await launcher.list() == []
    assert await launcher.wait(spec.launch_id) == Exit()


async def test_many_processes_at_once(launcher: Launcher, running: RunningLauncher) -> None:
    specs = [running.agent(f"raise SystemExit({code})") for code in range(20)]
    await asyncio.gather(*(launcher.start(spec) for spec in specs))
    exits = await asyncio.gather(*(launcher.wait(spec.launch_id) for spec in specs))
    assert exits == [Exit(code=code) for code in range(20)]

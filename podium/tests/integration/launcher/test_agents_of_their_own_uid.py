"""What an agent with a uid of its own is given, and that nothing of a hostile one is left."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from podium.launcher.leftovers import end_leftover, is_leftover
from podium.launcher.port import Exit, Launch, LaunchError, LaunchSpec
from podium.launcher.processes import ProcessLauncher
from podium.launcher.sweep import end_uid
from tests.support.launchers import RunningLauncher, fresh_uid, is_running, needs_root, running_as, running_launcher, until

pytestmark = needs_root

HOSTILE = """
import ctypes, os, signal, sys, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)  # die with nobody
for number in set(signal.valid_signals()) - {9, 17, 19}:
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
def daemon(life):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 3)
            while True: life()
        os._exit(0)
def hop():  # a new pid every few milliseconds
    time.sleep(0.003)
    if os.fork(): os._exit(0)
def spawn():  # many short-lived children
    if os.fork() == 0:
        time.sleep(0.05)
        os._exit(0)
    time.sleep(0.005)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
for life in (hop, hop, spawn, lambda: time.sleep(1000)): daemon(life)
os.environ.clear()
print("up", flush=True)
END
"""
HOSTILE_THAT_STAYS = HOSTILE.replace("END", "time.sleep(1000)")
HOSTILE_THAT_LEAVES = HOSTILE.replace("END", "sys.exit(5)")


@pytest.fixture
def uid() -> Iterator[int]:
    number = fresh_uid()
    yield number
    end_uid(number, 10)


@pytest.fixture
def running(uid: int) -> Iterator[RunningLauncher]:
    with running_launcher() as launcher:
        yield launcher


@pytest.fixture
async def client(running: RunningLauncher) -> AsyncIterator[ProcessLauncher]:
    adapter = ProcessLauncher(running.socket)
    yield adapter
    await adapter.close()


async def started(client: ProcessLauncher, running: RunningLauncher, spec: LaunchSpec) -> Launch:
    launch = await client.start(spec)
    await until(lambda: "up" in running.said())
    return launch


async def test_it_has_its_uid_and_nothing_of_ours(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    code = """
import json, os, resource, signal
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(json.dumps({
    "ids": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
    "session": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "privileges": [int(status["CapPrm"], 16), int(status["CapEff"], 16), int(status["NoNewPrivs"])],
    "blocked": int(status["SigBlk"], 16),
    "umask": status["Umask"],
    "limits": [resource.getrlimit(limit) for limit in (resource.RLIMIT_NPROC, resource.RLIMIT_DATA, resource.RLIMIT_CORE)],
    "oom": int(open("/proc/self/oom_score_adj").read()),
    "open": [name for name in os.listdir("/proc/self/fd") if name > "2" and os.path.exists(f"/proc/self/fd/{name}")],
}))
"""
    spec = running.agent(code, uid=uid, pids=17, memory_bytes=2**28)
    await client.start(spec)
    assert await client.wait(spec.launch_id) == Exit(code=0)
    assert json.loads(running.said()) == {
        "ids": [uid] * 6,
        "session": True,
        "privileges": [0, 0, 1],
        "blocked": 0,
        "umask": "0077",
        "limits": [[17, 17], [2**28, 2**28], [0, 0]],
        "oom": 500,
        "open": [],
    }
    assert running.output.stat().st_uid == os.geteuid()


async def test_its_memory_and_processes_are_bounded(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    code = """
import os, time
try: bytearray(2**27)
except MemoryError: print("no more memory")
try:
    for _ in range(20):
        if os.fork() == 0: time.sleep(1000)
except BlockingIOError: print("no more processes")
"""
    spec = running.agent(code, uid=uid, pids=5, memory_bytes=2**26)
    await client.start(spec)
    assert await client.wait(spec.launch_id) == Exit(code=0)
    assert running.said() == "no more memory\nno more processes\n"
    assert running_as(uid) == []


async def test_it_enters_its_directory_with_its_own_rights(
    running: RunningLauncher, client: ProcessLauncher, uid: int, tmp_path: Path
) -> None:
    (tmp_path / "ours").mkdir(mode=0o700)
    with pytest.raises(LaunchError, match=r"cannot enter .*: Permission denied"):
        await client.start(running.agent(uid=uid, cwd=str(tmp_path / "ours")))


async def test_kill_leaves_nothing_of_a_hostile_agent(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    spec = running.agent(HOSTILE_THAT_STAYS, uid=uid, pids=100)
    await started(client, running, spec)
    assert len(running_as(uid)) > 3
    await client.kill(spec.launch_id)
    assert await client.wait(spec.launch_id) == Exit(signal=signal.SIGKILL)
    assert running_as(uid) == []


async def test_a_hostile_agent_that_exits_leaves_nothing(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    spec = running.agent(HOSTILE_THAT_LEAVES, uid=uid, pids=100)
    await client.start(spec)
    assert await client.wait(spec.launch_id) == Exit(code=5)
    assert running_as(uid) == []


async def test_sigterm_to_the_launcher_leaves_nothing(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    await started(client, running, running.agent(HOSTILE_THAT_STAYS, uid=uid, pids=100))
    assert running.end() == 0
    assert running_as(uid) == []


async def test_agents_of_other_uids_are_left_alone(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    neighbour = await client.start(running.agent(uid=fresh_uid()))
    shared = await client.start(running.agent())
    spec = running.agent(HOSTILE_THAT_STAYS, uid=uid, pids=100)
    await started(client, running, spec)
    await client.kill(spec.launch_id)
    await client.wait(spec.launch_id)
    assert is_running(neighbour.pid)
    assert is_running(shared.pid)
    assert running.process.poll() is None


async def test_many_hostile_agents_end_at_once(running: RunningLauncher, client: ProcessLauncher) -> None:
    uids = [fresh_uid() for _ in range(4)]
    specs = [running.agent(HOSTILE_THAT_STAYS, uid=uid, pids=100) for uid in uids]
    await asyncio.gather(*(client.start(spec) for spec in specs))
    await until(lambda: running.said().count("up") == len(uids))
    await asyncio.gather(*(client.kill(spec.launch_id) for spec in specs))
    assert await asyncio.gather(*(client.wait(spec.launch_id) for spec in specs)) == [Exit(signal=signal.SIGKILL)] * len(uids)
    assert [running_as(uid) for uid in uids] == [[]] * len(uids)


async def test_a_uid_has_one_launch_at_a_time(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    first = running.agent(uid=uid)
    await client.start(first)
    with pytest.raises(LaunchError, match=f"uid {uid} is in use by launch {first.launch_id}"):
        await client.start(running.agent(uid=uid))
    await client.kill(first.launch_id)
    await client.wait(first.launch_id)
    assert is_running((await client.start(running.agent(uid=uid))).pid)


async def test_a_start_ends_what_an_earlier_launcher_left(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    await started(client, running, running.agent(HOSTILE_THAT_STAYS, uid=uid, pids=100))
    running.kill()
    before = set(running_as(uid))
    assert before
    running.start()
    launch = await client.start(running.agent(uid=uid))
    assert running_as(uid) == [launch.pid]


async def test_leftovers_of_a_dead_launcher_are_ended(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    spec = running.agent(HOSTILE_THAT_STAYS, uid=uid, pids=100)
    launch = await started(client, running, spec)
    running.kill()
    assert is_leftover(spec.launch_id, launch.pid, launch.start_time)
    assert end_leftover(spec.launch_id, launch.pid, launch.start_time, uid)
    assert running_as(uid) == []
    assert end_leftover(spec.launch_id, launch.pid, launch.start_time, uid)

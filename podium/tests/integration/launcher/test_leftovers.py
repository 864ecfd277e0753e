"""A leftover is ended when everything about it agrees, and nothing else ever is."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from podium.launcher import procfs
from podium.launcher.leftovers import end_leftover, is_leftover
from tests.support.launchers import PYTHON, is_running, until

DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
print(os.getpid(), flush=True)
time.sleep(1000)
"""


@pytest.fixture
def agent() -> Iterator[subprocess.Popen[bytes]]:
    argv = [PYTHON, "-S", "-c", DAEMON]
    launch_id = f"left-{os.getpid()}"
    process = subprocess.Popen(argv, env={"AGENT_LAUNCH_ID": launch_id}, start_new_session=True, stdout=subprocess.PIPE)
    yield process
    end_leftover(launch_id, process.pid, start_time=0)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def family(agent: subprocess.Popen[bytes]) -> list[int]:
    assert agent.stdout is not None
    return [int(agent.stdout.readline()) for _ in range(2)]


def start_time(pid: int) -> int:
    stat = procfs.read_stat(pid)
    assert stat is not None
    return stat.start_time


async def test_it_is_ended_with_its_daemons(agent: subprocess.Popen[bytes]) -> None:
    pids = family(agent)
    launch_id, began = f"left-{os.getpid()}", start_time(agent.pid)
    assert is_leftover(launch_id, agent.pid, began)
    assert end_leftover(launch_id, agent.pid, began)
    await until(lambda: not any(is_running(pid) for pid in pids))
    agent.wait()
    assert not is_leftover(launch_id, agent.pid, began)
    assert end_leftover(launch_id, agent.pid, began)


async def test_its_daemons_are_ended_after_it(agent: subprocess.Popen[bytes]) -> None:
    pids = family(agent)
    began = start_time(agent.pid)
    agent.kill()
    agent.wait()
    assert end_leftover(f"left-{os.getpid()}", agent.pid, began)
    await until(lambda: not any(is_running(pid) for pid in pids))


@pytest.mark.parametrize(("launch_id", "later"), [("another", 0), (f"left-{os.getpid()}x", 0), (None, 1), (None, -1)])
def test_a_reused_pid_is_left_alone(agent: subprocess.Popen[bytes], launch_id: str | None, later: int) -> None:
    family(agent)
    named = launch_id or f"other-{os.getpid()}"
    began = start_time(agent.pid) + later
    assert not is_leftover(launch_id or f"left-{os.getpid()}", agent.pid, began)
    assert end_leftover(named, agent.pid, began)
    assert is_running(agent.pid)


@pytest.mark.parametrize("uid", {0, os.geteuid()})
def test_our_own_uid_is_never_swept(uid: int) -> None:
    with pytest.raises(ValueError, match="cannot be an agent's"):
        end_leftover("x", 2**22, 0, uid)

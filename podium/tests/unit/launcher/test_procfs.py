"""What /proc says, of ourselves and of processes with odd names and states."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from podium.launcher import procfs
from podium.launcher.launches import Process, _explained
from podium.launcher.port import Exit
from tests.support.launchers import PYTHON, until

NOBODY = 2**22
EXIT_SYSCALL = {"x86_64": 60, "aarch64": 93}


def test_ourselves() -> None:
    stat, status = procfs.read_stat(os.getpid()), procfs.read_status(os.getpid())
    assert stat is not None
    assert status is not None
    assert stat.session == os.getsid(0)
    assert status.alive
    assert status.uids == set(os.getresuid())
    assert os.getpid() in procfs.pids()


def test_a_process_that_is_not_there() -> None:
    assert procfs.read_stat(NOBODY) is None
    assert procfs.read_status(NOBODY) is None
    assert procfs.read_environment(NOBODY) == []


async def test_a_name_full_of_parentheses(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 (1"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "1000"], start_new_session=True, env={"A": "b"}) as process:
        try:
            stat = procfs.read_stat(process.pid)
            assert stat is not None
            assert stat.session == process.pid
            assert stat.start_time > 1
            await until(lambda: b"A=b" in procfs.read_environment(process.pid))  # Popen returns before exec has put it there
        finally:
            process.kill()


async def test_what_waits_to_be_reaped_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    status = procfs.read_status(process.pid)
    assert status is not None
    assert not status.alive
    assert procfs.read_environment(process.pid) in ([], [b""])
    process.wait()


@pytest.mark.skipif(platform.machine() not in EXIT_SYSCALL, reason="NOT CHECKED: the number of exit(2) is not known here")
async def test_a_process_outlives_its_main_thread() -> None:
    code = f"""
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
ctypes.CDLL(None).syscall({EXIT_SYSCALL[platform.machine()]}, 0)
"""
    with subprocess.Popen([PYTHON, "-S", "-c", code]) as process:
        state = Path(f"/proc/{process.pid}/status")
        await until(lambda: "State:\tZ" in state.read_text())
        status = procfs.read_status(process.pid)
        assert status is not None
        assert status.alive
        process.kill()


def vmstat(folder: Path, kills: int) -> None:
    (folder / "vmstat").write_text(f"nr_free_pages 1\noom_kill {kills}\nnuma_hit 5\n")


def test_kills_for_want_of_memory_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert procfs.oom_kills() >= 0
    monkeypatch.setattr(procfs, "_PROC", tmp_path)
    assert procfs.oom_kills() == 0
    vmstat(tmp_path, 7)
    assert procfs.oom_kills() == 7


@pytest.mark.parametrize(
    ("exit_", "kills", "was_killed", "oom"),
    [
        (Exit(signal=9), 8, False, True),
        (Exit(signal=9), 7, False, False),
        (Exit(signal=9), 8, True, False),
        (Exit(signal=11), 8, False, False),
        (Exit(code=1), 8, False, False),
    ],
)
def test_a_kill_that_was_not_ours_may_be_one_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_: Exit, kills: int, was_killed: bool, oom: bool
) -> None:
    monkeypatch.setattr(procfs, "_PROC", tmp_path)
    vmstat(tmp_path, kills)
    process = Process(launch_id="l", uid=None, pid=1, start_time=1, told=-1, oom_kills=7, was_killed=was_killed)
    explained = _explained(process, exit_)
    assert (explained.code, explained.signal, explained.oom) == (exit_.code, exit_.signal, oom)

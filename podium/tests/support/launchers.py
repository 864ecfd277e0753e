"""A real launcher process for tests, and small agents for it to start."""

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from podium.launcher import procfs
from podium.launcher.port import LaunchSpec

PYTHON = "/usr/bin/python3"
SLEEP = "import time; time.sleep(1000)"
DEADLINE_S = 20.0
_numbers = itertools.count()

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT CHECKED: only root can give agents uids of their own")


def fresh_uid() -> int:
    """A uid nobody else on this machine uses."""
    return 1_000_000 + os.getpid() * 100 + next(_numbers) % 100


def agent_spec(output: Path, code: str = SLEEP, /, **changes: object) -> LaunchSpec:
    """A spec that runs Python code. Its environment holds the launch_id, as every agent's does."""
    launch_id = str(changes.pop("launch_id", f"launch-{next(_numbers)}"))
    fields: dict[str, object] = {
        "argv": [PYTHON, "-S", "-E", "-c", code],
        "env": {"AGENT_LAUNCH_ID": launch_id},
        "cwd": "/",
        "output": str(output),
    }
    return LaunchSpec(launch_id=launch_id, **(fields | changes))  # type: ignore[arg-type]


class RunningLauncher:
    """A launcher process in a short directory of its own; it may be killed and started again on the same socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "l.sock"
        self.output = directory / "output"
        self.start()

    def start(self) -> None:
        argv = [sys.executable, "-I", "-B", "-m", "podium.launcher.process", "--socket", str(self.socket)]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait()

    def agent(self, code: str = SLEEP, /, **changes: object) -> LaunchSpec:
        """`agent_spec` with this launcher's output file."""
        return agent_spec(self.output, code, **changes)

    def said(self) -> str:
        """What its agents have written so far."""
        return self.output.read_text() if self.output.exists() else ""


@contextmanager
def running_launcher() -> Iterator[RunningLauncher]:
    directory = Path(tempfile.mkdtemp(prefix="podium-launcher-"))
    launcher = RunningLauncher(directory)
    try:
        yield launcher
    finally:
        launcher.end()
        shutil.rmtree(directory)


async def until(condition: Callable[[], object], *, deadline_s: float = DEADLINE_S) -> None:
    """Poll until the condition holds; fail where it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it did not come to pass in time"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    status = procfs.read_status(pid)
    return status is not None and status.alive


def running_as(uid: int) -> list[int]:
    """The processes of a uid that run."""
    statuses = {pid: procfs.read_status(pid) for pid in procfs.pids()}
    return [pid for pid, status in statuses.items() if status is not None and status.alive and uid in status.uids]

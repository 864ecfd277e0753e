"""A supervisor that is killed takes its processes along."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.launcher.processes import ProcessLauncher
from tests.support.launchers import agent_spec, is_running, until


@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="podium-supervisor-") as name:
        yield Path(name)


SUPERVISOR = """
import asyncio, signal, sys
from podium.supervisor.spec import ProcessSpec
from podium.supervisor.supervisor import Supervisor

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)"

def spec(name, *arguments, **changes):
    return ProcessSpec(name=name, argv=[sys.executable, "-I", *arguments], env={}, **changes)

def tell(event):
    if event.kind == "started": print(event.pid, flush=True)

specs = [
    spec("stubborn", "-S", "-c", STUBBORN),
    spec("launcher", "-m", "podium.launcher.process", "--socket", sys.argv[1], parent_death_signal=signal.SIGTERM),
]
asyncio.run(Supervisor(specs, on_event=tell, on_output=lambda name, _: print(name, "is up", flush=True)).run())
"""


async def test_its_children_and_their_agents_end_with_it(short_path: Path) -> None:
    argv = [sys.executable, "-c", SUPERVISOR, str(short_path / "l.sock")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        lines = [supervisor.stdout.readline().strip() for _ in range(3)]
        pids = [int(line) for line in lines if line.isdigit()]
        client = ProcessLauncher(short_path / "l.sock")
        agent = await client.start(agent_spec(short_path / "output"))
        os.kill(supervisor.pid, signal.SIGKILL)
        await until(lambda: not any(is_running(pid) for pid in [*pids, agent.pid]))
        assert len(pids) == 2
        await client.close()

"""The launcher process itself: what survives which death, and who may talk to it."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from podium.launcher.port import Exit, LaunchError
from podium.launcher.processes import ProcessLauncher
from podium.protocol.framing import encode_frame
from tests.support.launchers import PYTHON, RunningLauncher, fresh_uid, is_running, needs_root, running_launcher, until


@pytest.fixture
def running() -> Iterator[RunningLauncher]:
    with running_launcher() as launcher:
        yield launcher


@pytest.fixture
async def client(running: RunningLauncher) -> AsyncIterator[ProcessLauncher]:
    adapter = ProcessLauncher(running.socket)
    yield adapter
    await adapter.close()


async def test_a_coordinator_that_was_away_learns_what_ended(running: RunningLauncher, client: ProcessLauncher) -> None:
    ending, lasting = running.agent("import sys; sys.exit(int(sys.stdin.read() or 3))"), running.agent()
    launches = [await client.start(spec) for spec in (ending, lasting)]
    await client.close()
    await until(lambda: not is_running(launches[0].pid))
    later = ProcessLauncher(running.socket)
    assert await later.wait(ending.launch_id) == Exit(code=3)
    assert {launch.launch_id: launch.exit for launch in await later.list()} == {
        ending.launch_id: Exit(code=3),
        lasting.launch_id: None,
    }
    assert is_running(launches[1].pid)
    await later.close()


async def test_two_connections_hear_of_the_same_exit(running: RunningLauncher, client: ProcessLauncher) -> None:
    other = ProcessLauncher(running.socket)
    await other.list()
    spec = running.agent()
    await client.start(spec)
    waiting = [asyncio.create_task(each.wait(spec.launch_id)) for each in (client, other)]
    await other.list()
    await other.kill(spec.launch_id)
    assert await asyncio.gather(*waiting) == [Exit(signal=signal.SIGKILL)] * 2
    await other.close()


async def test_agents_die_with_a_launcher_that_is_killed(running: RunningLauncher, client: ProcessLauncher) -> None:
    specs = [running.agent() for _ in range(3)]
    launches = [await client.start(spec) for spec in specs]
    waiting = [asyncio.create_task(client.wait(spec.launch_id)) for spec in specs]
    await client.list()
    running.kill()
    await until(lambda: not any(is_running(launch.pid) for launch in launches))
    assert not any(task.done() for task in waiting)
    running.start()
    assert await asyncio.gather(*waiting) == [Exit()] * 3
    assert await client.list() == []


async def test_a_request_under_way_is_asked_again_of_the_next_launcher(running: RunningLauncher, client: ProcessLauncher) -> None:
    await client.list()
    running.kill()
    starting = asyncio.create_task(client.start(running.agent(launch_id="x")))
    running.start()
    launch = await starting
    assert await client.list() == [launch]


async def test_nobody_there_is_a_connection_error(tmp_path: Path) -> None:
    client = ProcessLauncher(tmp_path / "nobody.sock", reach_timeout_s=0.1)
    asking = [client.list(), client.wait("x"), client.kill("x"), client.forget("x")]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 4
    await client.close()


async def test_a_launcher_that_hangs_is_a_connection_error(running: RunningLauncher) -> None:
    client = ProcessLauncher(running.socket, reach_timeout_s=0.2)
    await until(running.socket.exists)
    os.kill(running.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(ConnectionError):
            await client.list()
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    await client.close()


async def test_sigterm_ends_every_agent_then_the_launcher(running: RunningLauncher, client: ProcessLauncher) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)"
    launches = [await client.start(running.agent(code)) for _ in range(3)]
    await until(lambda: running.said().count("up") == 3)
    assert running.end() == 0
    assert not any(is_running(launch.pid) for launch in launches)


async def test_what_an_agent_leaves_behind_ends_with_it(running: RunningLauncher, client: ProcessLauncher) -> None:
    code = """
import os, time
for leave in (lambda: None, lambda: os.setpgid(0, 0), os.setsid):
    if os.fork() == 0:
        leave()
        print(os.getpid(), flush=True)
        time.sleep(1000)
while len(open(OUTPUT).read().split()) < 3: time.sleep(0.01)
""".replace("OUTPUT", repr(str(running.output)))
    spec = running.agent(code)
    await client.start(spec)
    assert await client.wait(spec.launch_id) == Exit(code=0)
    await until(lambda: not any(is_running(int(pid)) for pid in running.said().split()))


async def test_orphans_are_reaped(running: RunningLauncher, client: ProcessLauncher) -> None:
    code = """
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    os._exit(0)
time.sleep(1000)
"""
    await client.start(running.agent(code))
    await until(lambda: running.said().strip())
    orphan = Path("/proc") / running.said().strip()
    await until(lambda: not orphan.exists())


async def test_the_socket_is_private(running: RunningLauncher, client: ProcessLauncher) -> None:
    await client.list()
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o600


@needs_root
async def test_another_uid_is_turned_away(running: RunningLauncher, client: ProcessLauncher) -> None:
    await client.list()
    running.directory.chmod(0o711)
    running.socket.chmod(0o666)
    code = f"""
import socket
s = socket.socket(socket.AF_UNIX); s.connect({str(running.socket)!r}); s.settimeout(10)
try:
    s.sendall(b'\\x17\\0\\0\\0{{"type":"list","id":123}}')
    print("got", s.recv(100))
except (BrokenPipeError, ConnectionResetError):
    print("got", b"")
"""
    uid = fresh_uid()
    done = subprocess.run(
        [PYTHON, "-S", "-c", code], user=uid, group=uid, extra_groups=[], cwd="/", capture_output=True, check=True
    )
    assert done.stdout == b"got b''\n"


@pytest.mark.parametrize(
    "nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", encode_frame(b"[]"), encode_frame(b'{"type":"list"}')]
)
async def test_nonsense_costs_only_its_own_connection(running: RunningLauncher, client: ProcessLauncher, nonsense: bytes) -> None:
    spec = running.agent()
    await client.start(spec)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(running.socket))
        peer.sendall(nonsense)
        assert peer.recv(100) == b""
    assert [launch.launch_id for launch in await client.list()] == [spec.launch_id]


async def test_a_peer_that_reads_nothing_does_not_stop_the_launcher(running: RunningLauncher, client: ProcessLauncher) -> None:
    await client.start(running.agent())
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(running.socket))
        peer.sendall(encode_frame(b'{"type":"list","id":1}') * 5000)
        assert len(await client.list()) == 1


def test_a_socket_that_cannot_be_is_a_configuration_error(tmp_path: Path) -> None:
    argv = [sys.executable, "-I", "-B", "-m", "podium.launcher.process", "--socket", str(tmp_path / ("x" * 200))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "Choose a shorter path" in done.stderr


def test_the_launcher_is_light() -> None:
    code = "import sys, podium.launcher.process; print(sorted({'asyncio', 'subprocess', 'logging'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-B", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@needs_root
@pytest.mark.parametrize("uid", [0, -1, 2**31])
async def test_some_uids_are_never_an_agents(running: RunningLauncher, client: ProcessLauncher, uid: int) -> None:
    with pytest.raises(LaunchError, match=f"uid {uid} cannot be an agent's"):
        await client.start(running.agent(uid=uid))


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT CHECKED as root: it may take on any uid")
async def test_only_root_gives_uids_of_their_own(running: RunningLauncher, client: ProcessLauncher) -> None:
    with pytest.raises(LaunchError, match="cannot use uid 1000001: only root"):
        await client.start(running.agent(uid=1_000_001))

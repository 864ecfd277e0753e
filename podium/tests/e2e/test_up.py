"""`podium up` as its user meets it: what it refuses, what it says, what it leaves behind."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from podium.protocol.errors import TooLarge
from tests.support.platform import EXAMPLES, Platform, deploy, running_platform, until

PODIUM = str(Path(sys.executable).with_name("podium"))


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that agents can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="podium-up-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def refused(*arguments: str, **env: str) -> str:
    """What `podium up` says on stderr when it does not start; it must exit with 2, before anything runs."""
    done = subprocess.run([PODIUM, "up", *arguments], env=os.environ | env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_a_busy_port_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        said = refused("--data", str(folder / "data"), "--gateway-port", port, "--coordinator-port", "0")
    assert port in said
    assert "--gateway-port" in said


@pytest.mark.skipif(os.getuid() != 0, reason="NOT CHECKED without root: agents run as the same user")
def test_a_parent_that_agents_cannot_search_is_named(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    assert str(closed) in refused("--data", str(closed / "data"), "--gateway-port", "0", "--coordinator-port", "0")


def test_wrong_settings_are_told_all_at_once(folder: Path) -> None:
    said = refused("--data", str(folder / "data"), SECRETS_KEY="short", MAX_INBOX="none")
    assert "SECRETS_KEY" in said
    assert "MAX_INBOX" in said
    assert "short" not in said.replace("shorter", "")


def test_without_an_interpreter_for_agents_the_coordinator_says_what_it_tried(folder: Path) -> None:
    missing = "import podium.deployments.interpreter as i; i.DEBIAN_PYTHON = '/none/debian'; sys._base_executable = '/none/own'"
    program = f"import sys; {missing}; sys.argv = ['serve', 'coordinator']; from podium.cli.serve import main; sys.exit(main())"
    env = {
        "PODIUM_DATA": str(folder / "data"), "VALKEY_URL": f"unix://{folder}/none.sock", "SECRETS_KEY": "x" * 16,
        "ADMIN_API_KEY": "pod_admin_" + "x" * 16, "AGENT_PYTHON": "/none/mine", "PATH": os.environ["PATH"],
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    for tried in ("AGENT_PYTHON", "/none/mine", "/none/debian", "/none/own"):
        assert tried in done.stderr


async def test_ready_is_said_when_requests_succeed_and_nothing_is_left_after(folder: Path) -> None:
    async with running_platform() as platform:
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {platform.key}"}) as http:
            for path in ("/health", "/ready", "/api/v1/instances", "/api/v1/coordinators"):
                assert (await http.get(platform.url + path)).status_code == 200, path
        assert "context" in platform.output
        assert str(platform.data / "keys") in platform.output
        assert platform.key not in platform.output
        said = refused("--data", str(platform.data), "--gateway-port", "0", "--coordinator-port", "0")
        assert "another `podium up`" in said
        children = psutil.Process(platform.pid).children(recursive=True)
        run = list((platform.data / "run").rglob("*.sock"))
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in run)
        assert any(path.name == "valkey.sock" for path in run)
        assert await platform.down() == 0
        assert not [child for child in children if child.is_running()]


@pytest.mark.parametrize("part", ["gateway", "coordinator", "launcher", "valkey"])
async def test_the_first_restart_is_immediate_and_the_platform_serves_again(part: str) -> None:
    async with running_platform() as platform:
        for _ in range(2):
            old = platform.part(part)
            old.kill()
            await until(lambda old=old: platform.part(part).pid != old.pid)
        await until(lambda: _serves(platform))


async def _serves(platform: Platform) -> bool:
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"{platform.url}/ready")).status_code == 200
    except httpx.HTTPError:
        return False


async def test_what_the_named_file_sets_reaches_every_part(folder: Path) -> None:
    file = folder / "podium.toml"
    file.write_text('max_message_size = "1KiB"\n')
    async with running_platform("--config", str(file)) as platform, platform.client() as client:
        await client.create(await deploy(client, EXAMPLES / "counter", folder), agent_id="one")
        with pytest.raises(TooLarge, match="1024"):
            await client.send("one", "x" * 2000)


async def test_sighup_ends_it_too() -> None:
    async with running_platform() as platform:
        os.kill(platform.pid, signal.SIGHUP)
        await platform.wait()

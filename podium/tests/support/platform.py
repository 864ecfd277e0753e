"""A whole platform for tests: `podium up` as a user starts it, in a directory of its own, on free ports."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from podium.client import AsyncPodium
from podium.client.pack import pack

EXAMPLES = Path(__file__).parents[3] / "examples"
AGENTS = Path(__file__).parent / "agents"
READY_TIMEOUT_S = 60.0
DEADLINE_S = 30.0


class Platform:
    """A running `podium up`."""

    def __init__(self, data: Path, env: dict[str, str], arguments: tuple[str, ...] = ()) -> None:
        self.data = data
        self.url = ""
        self._env = env
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._output: list[str] = []
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process
        return self._process.pid

    @property
    def key(self) -> str:
        """The administrator's key."""
        return (self.data / "keys" / "admin_api_key").read_text().strip()

    @property
    def output(self) -> str:
        """What it has printed on stderr."""
        return "".join(self._output)

    async def up(self) -> None:
        """Start it and return when it is ready, on the ports it had before."""
        ports = ["--gateway-port", self.url.rpartition(":")[2] or "0", "--coordinator-port", "0"]
        argv = [str(Path(sys.executable).with_name("podium")), "up", "--json", "--data", str(self.data), *ports, *self._arguments]
        self._process = await asyncio.create_subprocess_exec(
            *argv, env=self._env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        self._reader = asyncio.create_task(self._read())
        assert self._process.stdout
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), READY_TIMEOUT_S)
            self.url = json.loads(line)["ready"]
        except (TimeoutError, ValueError) as error:
            raise AssertionError(f"the platform did not get ready:\n{self.output}") from error

    async def down(self) -> int:
        """Stop it as Ctrl-C does; its exit code."""
        assert self._process
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(self._process.wait(), DEADLINE_S)
        if self._reader:
            await self._reader
        return code

    async def wait(self) -> None:
        """Until the supervisor has ended."""
        assert self._process
        await self._process.wait()

    def client(self) -> AsyncPodium:
        """A client with the administrator's key."""
        return AsyncPodium(self.url, self.key)

    def part(self, name: str) -> psutil.Process:
        """The process of the gateway, coordinator, launcher or valkey."""
        marks = {"launcher": "podium.launcher.process", "valkey": "valkey-server"}
        mark = marks.get(name, name)
        for child in psutil.Process(self.pid).children():
            if any(mark in word for word in child.cmdline()):
                return child
        raise LookupError(name)

    def agent(self, agent_id: str) -> psutil.Process:
        """The process of an awake agent."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("AGENT_ID") == agent_id and str(self.data) in process.environ()["AGENT_WORKSPACE"]:
                    return process
            except psutil.Error:
                continue
        raise LookupError(agent_id)

    async def _read(self) -> None:
        assert self._process
        assert self._process.stderr
        async for line in self._process.stderr:
            self._output.append(line.decode(errors="replace"))


@asynccontextmanager
async def running_platform(*arguments: str, **env: str) -> AsyncIterator[Platform]:
    """A platform with an empty data directory that agents can reach."""
    with tempfile.TemporaryDirectory(prefix="podium-test-") as folder:
        Path(folder).chmod(0o711)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PODIUM_", "AWS_"))}
        context = str(Path(folder) / "context.json")
        env = inherited | {"PODIUM_CONTEXT": context, "LOG_FORMAT": "console"} | env
        platform = Platform(Path(folder) / "data", env, arguments)
        try:
            await platform.up()
            yield platform
        finally:
            await platform.down()


@asynccontextmanager
async def chaos_platform(folder: Path, boot: Path) -> AsyncIterator[Platform]:
    """A platform below `folder` that is started again quickly whatever ends, and takes its boot id from a file."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PODIUM_", "AWS_"))}
    settings = {
        "PODIUM_CONTEXT": str(boot.with_name("context.json")), "PODIUM_BOOT_ID_FILE": str(boot), "RESTART_PAUSE": "100ms",
        "PODIUM_CRASH_AT": f"@{boot.with_name('crash_at')}", "LOG_FORMAT": "console",
    }  # fmt: skip
    platform = Platform(folder / "data", inherited | settings)
    try:
        await platform.up()
        yield platform
    finally:
        await platform.down()


async def deploy(client: AsyncPodium, source: Path, folder: Path) -> str:
    """Pack and upload an agent's directory; its deployment id."""
    bundle = folder / f"{source.name}.tar.gz"
    pack(source, bundle)
    return (await client.deploy(bundle)).deployment_id


async def until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Return what `condition` gives once that is true; its exceptions count as not yet. AssertionError past the deadline."""
    async with asyncio.timeout(deadline_s):
        while True:
            try:
                result = condition()
                if asyncio.iscoroutine(result):
                    result = await result
                if result:
                    return result
            except (LookupError, OSError, psutil.Error):
                pass
            await asyncio.sleep(0.02)

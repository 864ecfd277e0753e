"""The processes of one machine's platform, as a supervisor is told of them."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from podium.cluster.embedded import embedded_argv, embedded_url
from podium.config import FILE_VARIABLE, Settings
from podium.coordinator.layout import DataDirectory
from podium.supervisor.restarts import RestartPolicy
from podium.supervisor.spec import ProcessSpec

HTTP_PROBE_S = 2.0


def environment(config: Path | None) -> dict[str, str]:
    """What the parts read their settings from: ours, and the file that was named on the command line."""
    return {**os.environ, FILE_VARIABLE: str(config.absolute())} if config else dict(os.environ)


def restarts(settings: Settings) -> RestartPolicy:
    """How parts that end are started again."""
    return RestartPolicy(longest_pause_s=settings.restart_pause_s)


def valkey(directory: DataDirectory, restarts: RestartPolicy) -> tuple[ProcessSpec, str]:
    """A Valkey of our own on a Unix socket, and its URL."""
    sock = directory.private / "valkey.sock"
    argv = embedded_argv(sock, directory.private)
    spec = ProcessSpec(name="valkey", argv=argv, env=_plain(), ready=lambda: _accepts(sock), restarts=restarts)
    return spec, embedded_url(sock)


def launcher(directory: DataDirectory, restarts: RestartPolicy) -> ProcessSpec:
    """The launcher. It is told of the supervisor's death by SIGTERM, so that it ends its agents."""
    sock = directory.launcher_socket
    argv = [sys.executable, "-I", "-B", "-m", "podium.launcher.process", "--socket", str(sock)]
    return ProcessSpec(
        name="launcher", argv=argv, env=_plain(), ready=lambda: _accepts(sock), parent_death_signal=signal.SIGTERM,
        restarts=restarts,
    )  # fmt: skip


def part(name: str, env: Mapping[str, str], fd: int, port: int, path: str, restarts: RestartPolicy) -> ProcessSpec:
    """The gateway or the coordinator on a socket that is bound already."""
    argv = [sys.executable, "-m", "podium.cli.serve", name]
    return ProcessSpec(
        name=name, argv=argv, env={**env, "PODIUM_LISTEN_FD": str(fd)}, pass_fds=(fd,), ready=lambda: _answers(port, path),
        ready_timeout_s=120.0, stop_grace_s=30.0, restarts=restarts,
    )  # fmt: skip


def _plain() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}


async def _accepts(path: Path) -> bool:
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    return True


async def _answers(port: int, path: str) -> bool:
    """Whether a GET on this machine is answered 200."""
    async with asyncio.timeout(HTTP_PROBE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return (await reader.readline()).split(b" ")[1:2] == [b"200"]
        finally:
            writer.close()

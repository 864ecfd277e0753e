"""What a coordinator asks of a launcher: start, end and watch agent processes.

A launch is named by its random `launch_id`. The launcher keeps every launch, running or ended, until it is forgotten, so that
a coordinator that was away learns what ended meanwhile and how.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class LaunchSpec(msgspec.Struct, kw_only=True, frozen=True):
    """All that is needed to start a process. `uid` None keeps the launcher's own; `output` gets stdout and stderr."""

    launch_id: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    output: str
    uid: int | None = None
    memory_bytes: int | None = None
    pids: int | None = None


class Exit(msgspec.Struct, kw_only=True, frozen=True):
    """How a process ended: an exit code or a signal number; both None where nobody saw it end.

    `oom` says that it was killed by the kernel for want of memory, as far as that can be known.
    """

    code: int | None = None
    signal: int | None = None
    oom: bool = False


class Launch(msgspec.Struct, kw_only=True, frozen=True):
    """A launch the launcher knows. `start_time` is in clock ticks since boot, as in /proc/PID/stat: it tells a pid's reuse."""

    launch_id: str
    pid: int
    start_time: int
    exit: Exit | None = None


class LaunchError(Exception):
    """The process could not be started; the text says why."""


class Launcher(Protocol):
    """Starts, ends and watches agent processes. ConnectionError where the launcher itself cannot be reached."""

    async def start(self, spec: LaunchSpec) -> Launch:
        """Start the process; LaunchError where that fails. Starting a known launch_id returns what is there."""

    async def kill(self, launch_id: str) -> None:
        """End the process and, where it has a uid of its own, everything of that uid. Returns at once; idempotent."""

    async def wait(self, launch_id: str) -> Exit:
        """Return once the process has ended, at once where it has. An unknown launch has ended, nobody saw how."""

    async def list(self) -> list[Launch]:
        """Every launch that was not forgotten."""

    async def forget(self, launch_id: str) -> None:
        """Drop an ended launch; idempotent."""

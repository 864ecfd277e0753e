"""What a supervisor is told about a process, and what it tells of it."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import msgspec

from podium.supervisor.restarts import RestartPolicy

EventKind = Literal["started", "ready", "unready", "ended", "restarting", "stopping", "up"]


class ProcessSpec(msgspec.Struct, kw_only=True, frozen=True):
    """A process to keep running.

    `ready` is asked every few milliseconds whether the process serves; an exception counts as no, None as yes from the start.
    A process that does not serve within `ready_timeout_s` is killed and started again. `parent_death_signal` reaches it when the
    supervisor is killed. `pass_fds` keep their numbers.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    pass_fds: Sequence[int] = ()
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_timeout_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 10.0
    parent_death_signal: signal.Signals = signal.SIGKILL
    restarts: RestartPolicy = RestartPolicy()


class ProcessEvent(msgspec.Struct, kw_only=True, frozen=True):
    """Something happened to a process. `up` has no name: all of them serve, for the first time.

    `code` is negative for a signal; `detail` is a line for people: the last line on standard error, or why it failed to start.
    """

    kind: EventKind
    name: str = ""
    pid: int | None = None
    code: int | None = None
    pause_s: float | None = None
    detail: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """How the supervisor ended: 0 when it was stopped, else the exit code that fits and the reason in one line."""

    code: int
    reason: str = ""

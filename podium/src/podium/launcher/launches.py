"""Every launch from its start until it is forgotten. No sockets here: the launcher's loop calls in, and publishes what comes out.

    starting → running → (killed | ended by itself) → what it left behind is ended → ended → forgotten

A launch counts as ended only after everything under its uid is gone, so whoever waited for it may use uid and files again.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from podium.launcher import procfs
from podium.launcher.exec import close_descriptors, fork_exec, read_outcome, reset_signals
from podium.launcher.port import Exit, Launch, LaunchError, LaunchSpec
from podium.launcher.sweep import end_family, end_uid

_SWEEP_TIMEOUT_S = 5.0


@dataclass
class Process:
    """One launch. `told` becomes readable once `Launches.settle` can say how its start went; whoever watches it closes it.

    `status` is how the process ended, `exit` the same once nothing of it is left. `oom_kills` is the kernel's count at its start.
    """

    launch_id: str
    uid: int | None
    pid: int
    start_time: int
    told: int
    oom_kills: int = 0
    was_killed: bool = False
    settled: bool = False
    failure: str | None = None
    status: Exit | None = None
    exit: Exit | None = None
    is_being_swept: bool = False

    def launch(self) -> Launch:
        return Launch(launch_id=self.launch_id, pid=self.pid, start_time=self.start_time, exit=self.exit)


@dataclass
class Launches:
    """All launches of this launcher. `warn` gets a line where something could not be ended in time."""

    warn: Callable[[str], None]
    _known: dict[str, Process] = field(default_factory=dict)
    _mains: dict[int, Process] = field(default_factory=dict)
    _sweepers: dict[int, Process] = field(default_factory=dict)

    def start(self, spec: LaunchSpec) -> Process:
        """Fork the process, or return the known launch; LaunchError where that cannot be."""
        known = self._known.get(spec.launch_id)
        if known is not None:
            return known
        self._check_uid_is_free(spec.uid)
        oom_kills = procfs.oom_kills()
        pid, told = fork_exec(spec)
        # Only we can reap the child, so it is there to be read, even when it has already ended.
        stat = procfs.read_stat(pid)
        assert stat is not None
        process = Process(
            launch_id=spec.launch_id, uid=spec.uid, pid=pid, start_time=stat.start_time, told=told, oom_kills=oom_kills
        )
        self._known[spec.launch_id] = self._mains[pid] = process
        return process

    def settle(self, process: Process) -> str | None:
        """How the start went: None for well, else the reason, and the launch never was. Waits for `told` the first time."""
        if not process.settled:
            process.settled, process.failure = True, read_outcome(process.told)
            if process.failure is not None:
                del self._known[process.launch_id], self._mains[process.pid]
        return process.failure

    def kill(self, launch_id: str) -> None:
        """Send SIGKILL to all of a launch; `reap` will say when it has ended. Idempotent."""
        process = self._known.get(launch_id)
        if process is None or process.status is not None:
            return
        process.was_killed = True
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        self._kill_session(process)
        self._sweep(process)

    def kill_all(self) -> None:
        """`kill` for every launch."""
        for launch_id in self._known:
            self.kill(launch_id)

    def forget(self, launch_id: str) -> None:
        """Drop a launch that has ended; nothing happens to one that has not."""
        process = self._known.get(launch_id)
        if process is not None and process.exit is not None:
            del self._known[launch_id]

    def known(self) -> list[Launch]:
        """Every launch that was not forgotten."""
        return [process.launch() for process in self._known.values()]

    def all_ended(self) -> bool:
        """Whether nothing of any launch is left."""
        return all(process.exit is not None for process in self._known.values())

    def reap(self) -> list[Launch]:
        """Collect every child that ended, orphans of agents too. Returns the launches that have ended with it."""
        ended: list[Launch] = []
        while (pid := _next_ended_child()) is not None:
            process = self._mains.get(pid) or self._sweepers.get(pid)
            if process is not None and self._collect(process, pid):
                ended.append(process.launch())
            elif process is None:
                os.waitpid(pid, 0)
        return ended

    def _collect(self, process: Process, pid: int) -> bool:
        """Take note of a child of a launch, and reap it; True where that ends the launch."""
        if pid in self._sweepers:
            self._collect_sweeper(process, pid)
        elif self.settle(process) is None:
            self._kill_session(process)
            process.status = _explained(process, _reap(pid))
            del self._mains[pid]
            self._sweep(process)
        else:
            _reap(pid)
        if process.status is not None and not process.is_being_swept:
            process.exit = process.status
        return process.exit is not None

    def _collect_sweeper(self, process: Process, pid: int) -> None:
        if _reap(pid) != Exit(code=0):
            self.warn(f"launch {process.launch_id}: processes of uid {process.uid} do not end")
        del self._sweepers[pid]
        process.is_being_swept = False

    def _check_uid_is_free(self, uid: int | None) -> None:
        for other in self._known.values():
            if uid is not None and other.uid == uid and other.exit is None:
                raise LaunchError(f"uid {uid} is in use by launch {other.launch_id}, which has not ended")

    def _kill_session(self, process: Process) -> None:
        """Signal what shares the main process's group, and without a uid of its own all we can find. It is not reaped yet."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.uid is None:
            end_family(process.launch_id, process.pid)

    def _sweep(self, process: Process) -> None:
        """Fork the child that ends everything of the launch's uid and waits until it is gone, unless one is at it."""
        if process.uid is None or process.is_being_swept:
            return
        try:
            pid = os.fork()
        except OSError as error:
            self.warn(f"launch {process.launch_id}: cannot fork to end uid {process.uid}: {error.strerror}")
            return
        if pid == 0:
            _be_sweeper_of(process.uid)
        process.is_being_swept = True
        self._sweepers[pid] = process


def _be_sweeper_of(uid: int) -> NoReturn:
    code = 1
    try:
        reset_signals()
        close_descriptors()
        # Away from the launcher's group: whoever ends that must not stop this work half-way.
        os.setsid()
        code = 0 if end_uid(uid, _SWEEP_TIMEOUT_S) else 1
    finally:
        os._exit(code)


def _explained(process: Process, exit_: Exit) -> Exit:
    """A SIGKILL that was not ours, while the kernel was killing for want of memory, was one of those."""
    ours = process.was_killed or exit_.signal != signal.SIGKILL
    return exit_ if ours or procfs.oom_kills() <= process.oom_kills else Exit(signal=exit_.signal, oom=True)


def _next_ended_child() -> int | None:
    """A child that ended and was not reaped: until it is, its number is ours and cannot be another process."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return ended.si_pid if ended is not None else None


def _reap(pid: int) -> Exit:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return Exit(code=code) if code >= 0 else Exit(signal=-code)

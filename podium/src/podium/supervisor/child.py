"""One run of one process: its start, its output, its end.

The process leads a session of its own, so that Ctrl-C reaches the supervisor alone, and everything in its process group ends
with it.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO, Any

from podium.supervisor import prctl
from podium.supervisor.spec import ProcessSpec

_READ_BYTES = 64 * 1024
_READS_AT_END = 16
_LONGEST_LINE_BYTES = 64 * 1024
_KEPT_LINE_CHARS = 500
_KILLED_WAIT_S = 5.0


class OutputPipe:
    """Reads what a process writes and hands on whole lines; the last one is kept."""

    def __init__(self, pipe: IO[bytes], forward: Callable[[bytes], None]) -> None:
        self.last_line = ""
        self._pipe = pipe
        self._forward = forward
        self._rest = b""
        os.set_blocking(pipe.fileno(), False)
        asyncio.get_running_loop().add_reader(pipe.fileno(), self._read)

    def finish(self) -> None:
        """Take what is there now and close: somebody else may hold the other end for ever."""
        for _ in range(_READS_AT_END):
            if not self._read():
                break
        if self._rest:
            self._hand_on(self._rest + b"\n")
        self._close()

    def _read(self) -> bool:
        if self._pipe.closed:
            return False
        try:
            data = os.read(self._pipe.fileno(), _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close()
            return False
        lines, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest
        if newline or len(rest) > _LONGEST_LINE_BYTES:
            self._hand_on(lines + newline if newline else rest + b"\n")
            self._rest = rest if newline else b""
        return True

    def _hand_on(self, lines: bytes) -> None:
        last = lines.rstrip().rpartition(b"\n")[2].strip()
        self.last_line = last.decode(errors="replace")[:_KEPT_LINE_CHARS] or self.last_line
        self._forward(lines)

    def _close(self) -> None:
        if not self._pipe.closed:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._pipe.close()


class Child:
    """A process that has been started; OSError or SubprocessError where it cannot be.

    `ended` gets its exit code, negative for a signal. Start it from the main thread: the kernel takes the end of the thread that
    forked for the end of the parent.
    """

    def __init__(self, spec: ProcessSpec, on_output: Callable[[str, bytes], None]) -> None:
        self._spec = spec
        self._popen = subprocess.Popen(  # noqa: S603 - what to run is ours
            list(spec.argv),
            env=dict(spec.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(spec.pass_fds),
            start_new_session=True,
            preexec_fn=partial(prctl.die_with_parent, os.getpid(), spec.parent_death_signal),
        )
        assert self._popen.stdout is not None and self._popen.stderr is not None
        loop = asyncio.get_running_loop()
        self.pid = self._popen.pid
        self.ended: asyncio.Future[int] = loop.create_future()
        self._output = OutputPipe(self._popen.stdout, partial(on_output, spec.name))
        self._errors = OutputPipe(self._popen.stderr, partial(on_output, spec.name))
        # Not yet reaped, so it is there.
        self._pidfd = os.pidfd_open(self.pid)
        loop.add_reader(self._pidfd, self._collect)

    @property
    def last_error_line(self) -> str:
        """The last line the process wrote to standard error."""
        return self._errors.last_line

    def kill(self) -> None:
        """SIGKILL to the process and its group."""
        if not self.ended.done():
            self._kill_group()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Ask the process to end; kill it after its grace, or as soon as there is a `hurry`. Returns when it has ended."""
        if self.ended.done():
            return
        signal.pidfd_send_signal(self._pidfd, self._spec.stop_signal)
        hurrying = asyncio.create_task(hurry.wait())
        either: set[asyncio.Future[Any]] = {self.ended, hurrying}
        try:
            await asyncio.wait(either, timeout=self._spec.stop_grace_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurrying.cancel()
            self.kill()
        # Nothing outlasts SIGKILL but a call that hangs in the kernel; nobody can wait for that.
        await asyncio.wait({self.ended}, timeout=_KILLED_WAIT_S)

    def _collect(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        # Until it is reaped, its number is the group's and nobody else's.
        self._kill_group()
        code = self._popen.wait()
        self._output.finish()
        self._errors.finish()
        self.ended.set_result(code)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

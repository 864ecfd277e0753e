"""The log of a launch: what the agent said by frames, what its process printed, what the platform has to add.

stdout and stderr go to a file, never to a pipe: the agent can neither block on the coordinator nor die with it. The file is
tailed into `logs/agent.db`, which remembers how far, so that another coordinator goes on there; what was taken is punched out of
the file, so that it stays small however long the agent prints. Logs are kept as well as the disk allows: losing some never fails
a turn.
"""

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from podium import log
from podium.coordinator.log_store import LEVELS, Line, LogStore, Taken
from podium.state.values import to_us

TAIL_EVERY_S = 0.25
TAIL_QUIET_S = 1.0
"""The same after a while in which nothing came: a thousand quiet agents must not keep the coordinator busy."""
MAX_READ_BYTES = 1024 * 1024
MAX_BACKLOG_BYTES = 16 * 1024 * 1024
MAX_LINE_CHARS = 8192
MAX_BUFFERED = 10_000
LAST_LINES = 20

_libc = ctypes.CDLL(None, use_errno=True)
_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02
_logger = log.get("logs")


class AgentLog:
    """The log of one launch: collects, tails the output file, writes in groups. `taken` says where to go on."""

    def __init__(self, store: LogStore, output: Path, clock: Callable[[], datetime], taken: Taken) -> None:
        self._store = store
        self._output = output
        self._clock = clock
        self._launch_id = taken.launch_id
        self._buffer: list[Line] = []
        self._n = self._stored_n = taken.n
        self._read_bytes = taken.output_bytes
        self._taken_bytes = taken.output_bytes
        self._punched_bytes = 0
        self._partial = b""
        self._flushing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._task = asyncio.create_task(self._follow())

    def now(self) -> datetime:
        """The platform's time."""
        return self._clock()

    def add(self, level: str, source: str, message: str, module: str = "") -> None:
        """Take one record; beyond MAX_BUFFERED it is dropped."""
        if len(self._buffer) < MAX_BUFFERED:
            level = level.lower() if level.lower() in LEVELS else "info"
            self._buffer.append(Line(to_us(self._clock()), level, source, module[:256], message[:MAX_LINE_CHARS]))

    def frame(self, n: int, level: str, message: str, module: str) -> None:
        """Take the record of the agent's frame `n`; one that an earlier coordinator has stored is known."""
        if n > self._n:
            self._n = n
            self.add(level, "agent", message, module)

    async def keep(self) -> None:
        """Store the records of frames, before the state counts those as taken."""
        if self._n > self._stored_n:
            await self.flush()

    async def flush(self) -> None:
        """Store what was taken until now; where the disk refuses, it is gone."""
        async with self._flushing:
            lines, self._buffer = self._buffer, []
            if not lines:
                return
            taken = Taken(self._launch_id, max(0, self._read_bytes - len(self._partial)), self._n)
            try:
                await self._store.append(lines, taken)
            except OSError as error:
                _logger.warning("log records were dropped", count=len(lines), error=str(error))
            self._taken_bytes, self._stored_n = taken.output_bytes, taken.n

    async def drain(self) -> None:
        """Take what the ended process has printed, store everything, and stop."""
        self._ending.set()
        await asyncio.wait({self._task})
        for _ in range(MAX_BACKLOG_BYTES // MAX_READ_BYTES + 1):  # something it has left behind may print for ever
            if not self._read():
                break
            await self.flush()
        if self._partial:
            self.add("info", "output", self._partial.decode(errors="replace"))
            self._partial = b""
        await self.flush()

    async def last_lines(self) -> list[str]:
        """The newest lines, for whoever asks why it ended."""
        try:
            return [record.message[:1000] for record in await self._store.read(LAST_LINES, 0, None)]
        except OSError:
            return []

    async def _follow(self) -> None:
        pause_s = TAIL_EVERY_S
        while not self._ending.is_set():
            pause_s = TAIL_EVERY_S if self._read() else min(2 * pause_s, TAIL_QUIET_S)
            await self.flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()

    def _read(self) -> bool:
        """Take lines from the output file; whether there were any."""
        try:
            fd = os.open(self._output, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # the agent has printed nothing yet, or there is no descriptor left: at the next look
            return False
        try:
            self._punch(fd)
            data = self._take(fd)
        finally:
            os.close(fd)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE_CHARS:
            lines, self._partial = [*lines, self._partial], b""
        for line in lines:
            self.add("info", "output", line.decode(errors="replace"))
        return bool(data)

    def _take(self, fd: int) -> bytes:
        size = os.fstat(fd).st_size
        if size < self._read_bytes:
            self._read_bytes = self._punched_bytes = 0  # the agent holds the descriptor and has cut its own file
        if size - self._read_bytes > MAX_BACKLOG_BYTES:
            dropped = size - self._read_bytes - MAX_READ_BYTES
            self.add("warning", "platform", f"{dropped} bytes of output came too fast and were dropped")
            self._read_bytes = size - MAX_READ_BYTES
        data = os.pread(fd, MAX_READ_BYTES, self._read_bytes)
        self._read_bytes += len(data)
        return data

    def _punch(self, fd: int) -> None:
        """Give back the room of what is stored; where that fails the file just grows."""
        if self._taken_bytes > self._punched_bytes:
            self._punched_bytes = self._taken_bytes
            _libc.fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(self._taken_bytes))

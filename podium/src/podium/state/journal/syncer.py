"""A thread that makes a file durable whenever it is asked, and tells the event loop."""

import asyncio
import os
import queue
import threading
from collections.abc import Callable

Told = Callable[[int, OSError | None], None]


class Syncer:
    """`sync` a descriptor up to a number; `told` is called on the loop with that number once it is durable, or with the error."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._wanted: queue.SimpleQueue[tuple[int, int | None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def sync(self, fd: int, number: int) -> None:
        """Ask for an fdatasync of what was written so far."""
        self._wanted.put((fd, number))

    def release(self, fd: int) -> None:
        """Close a descriptor, after the fdatasyncs that were asked for before: its number must not name another file by then."""
        self._wanted.put((fd, None))

    def close(self) -> None:
        """End the thread once it has done what it was asked for. Blocks."""
        self._wanted.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            fd, number = wanted
            if number is None:
                os.close(fd)
                continue
            error: OSError | None = None
            try:
                os.fdatasync(fd)
            except OSError as failed:
                error = failed
            self._loop.call_soon_threadsafe(self._told, number, error)

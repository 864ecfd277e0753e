"""Output that goes on until its reader has gone."""

import asyncio
import os
import stat
import sys
from collections.abc import Coroutine
from typing import Any


async def while_read(following: Coroutine[Any, Any, None]) -> None:
    """Follow until nobody reads any more: `podium events x | head` has to end although no event comes to be written."""
    task, left = asyncio.create_task(following), asyncio.Event()

    def leave() -> None:
        left.set()
        task.cancel()

    if (pipe := _output_pipe()) is not None:
        # A pipe's writing end is never readable: the selector wakes for it only when its reader has gone.
        asyncio.get_running_loop().add_reader(pipe, leave)
    try:
        await task
    except asyncio.CancelledError:
        if not left.is_set():
            raise
        raise BrokenPipeError from None


def _output_pipe() -> int | None:
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # not a file at all, as in a program that calls us
        return None
    return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None

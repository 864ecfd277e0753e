"""Saying that the process has run out of file descriptors: the event loop then drops new connections in silence, and goes on."""

import asyncio
import errno
import os
import resource

from podium import log

WATCH_EVERY_S = 1.0
_logger = log.get("descriptors")


async def watch_descriptors(every_s: float = WATCH_EVERY_S) -> None:
    """Log when none is left, and when there are some again; until cancelled."""
    short = False
    while True:
        if (none_left := not _some_left()) != short:
            short = none_left
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            if short:
                _logger.error("no file descriptors left: new connections are dropped; raise the limit of open files", limit=limit)
            else:
                _logger.warning("file descriptors are left again", limit=limit)
        await asyncio.sleep(every_s)


def _some_left() -> bool:
    try:
        os.close(os.dup(2))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    return True

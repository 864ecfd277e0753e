"""What was asked for is done in its order, so that no descriptor is closed under an fdatasync."""

import asyncio
import os
from pathlib import Path

import pytest

from podium.state.journal.syncer import Syncer


async def test_a_descriptor_is_closed_after_what_was_asked_for_before(tmp_path: Path) -> None:
    told: list[tuple[int, OSError | None]] = []
    all_told = asyncio.Event()

    def tell(number: int, error: OSError | None) -> None:
        told.append((number, error))
        if len(told) == 100:
            all_told.set()

    syncer = Syncer(tell)
    fds = []
    for number in range(1, 101):
        fd = os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"x")
        syncer.sync(fd, number)
        syncer.release(fd)
        fds.append(fd)
    await asyncio.to_thread(syncer.close)
    await asyncio.wait_for(all_told.wait(), 10)
    assert told == [(number, None) for number in range(1, 101)]
    for fd in set(fds):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fsync(fd)

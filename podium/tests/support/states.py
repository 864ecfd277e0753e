"""Real states on disk for tests, with a clock that stands where it is put."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from podium.state.sqlite import SqliteState

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that moves a second at each look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> datetime:
        self.looks += 1
        return START + timedelta(seconds=self.looks)


EXECUTOR = ThreadPoolExecutor(4, "test-state")


def make_state(path: Path, *, epoch: int = 1, boot_id: str = "boot-1") -> SqliteState:
    """A new state, or the one that is there."""
    return SqliteState.create(path, EXECUTOR, Clock(), instance_id="agent_1", tenant_id="platform", epoch=epoch, boot_id=boot_id)

"""Real states on disk for tests, with a clock that stands where it is put."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from podium.state.sqlite import SqliteState, SqliteStates

START = datetime(2026, 1, 1, tzinfo=UTC)
SEGMENT_BYTES = 512 * 1024


class Clock:
    """A clock that moves a second at each look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> datetime:
        self.looks += 1
        return START + timedelta(seconds=self.looks)


EXECUTOR = ThreadPoolExecutor(4, "test-state")


async def open_states(folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> SqliteStates:
    """The states `{name}.db` of a folder, and their journal."""

    def path_of(name: str) -> Path:
        return folder / f"{name}.db"

    return await SqliteStates.open(folder / "journal", path_of, EXECUTOR, Clock(), segment_bytes)


async def create_state(states: SqliteStates, path: Path, *, epoch: int = 1, boot_id: str = "boot-1") -> SqliteState:
    """A new state named as its file, or the one that is there."""
    return await states.create(path, instance_id=path.stem, tenant_id="platform", epoch=epoch, boot_id=boot_id)


async def make_state(path: Path, *, epoch: int = 1, boot_id: str = "boot-1") -> SqliteState:
    """A state that is alone with its journal, which is closed with it."""
    states = await open_states(path.parent)
    state = await create_state(states, path, epoch=epoch, boot_id=boot_id)
    close_state = state.close

    async def close(*, clean: bool) -> None:
        await close_state(clean=clean)
        await states.close()

    state.close = close  # type: ignore[method-assign]
    return state

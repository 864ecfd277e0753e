"""Who sleeps is seen without opening; whatever is in doubt counts as awake."""

from pathlib import Path

import apsw
import pytest

from podium.state.journal.segments import Header, encode_header
from podium.state.peek import is_asleep
from podium.state.sqlite import SqliteState
from tests.support.states import make_state

BODY = {"text": "hello"}


async def asleep(folder: Path) -> tuple[Path, SqliteState]:
    path = folder / "state.db"
    state = await make_state(path)
    assert await state.park("idle")
    return path, state


async def test_one_that_sleeps_and_is_closed(tmp_path: Path) -> None:
    path, state = await asleep(tmp_path)
    assert not is_asleep(path), "open: what it holds may not be in the file"
    await state.close(clean=True)
    assert is_asleep(path)
    assert [child.name for child in tmp_path.iterdir() if child.name.startswith("state")] == ["state.db"]


async def test_one_that_has_something_to_do(tmp_path: Path) -> None:
    path, state = await asleep(tmp_path)
    await state.accept("m1", "message", BODY, {}, 10)
    await state.close(clean=True)
    assert not is_asleep(path)


@pytest.mark.parametrize("status", ["initializing", "failed"])
async def test_one_that_wants_a_process(tmp_path: Path, status: str) -> None:
    path, state = await asleep(tmp_path)
    await state.set_status(status, None)
    await state.close(clean=True)
    assert not is_asleep(path)


async def test_one_that_lacks_something(tmp_path: Path) -> None:
    path, state = await asleep(tmp_path)
    await state.close(clean=True)
    path.with_name("journal.tail").write_bytes(encode_header(Header(0, 0)))
    assert not is_asleep(path)


async def test_another_format(tmp_path: Path) -> None:
    path, state = await asleep(tmp_path)
    await state.close(clean=True)
    apsw.Connection(str(path)).pragma("user_version", 99)
    assert not is_asleep(path)


def test_what_is_no_state_at_all(tmp_path: Path) -> None:
    assert not is_asleep(tmp_path / "missing.db")
    (tmp_path / "broken.db").write_bytes(b"nonsense" * 1000)
    assert not is_asleep(tmp_path / "broken.db")
    (tmp_path / "a%20name?.db").touch()
    assert not is_asleep(tmp_path / "a%20name?.db")

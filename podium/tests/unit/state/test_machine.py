"""What was given out is there again, however the process ended and whatever the disk did; what failed never was."""

import asyncio
import os
import shutil
from pathlib import Path

import apsw
import msgspec
import pytest

from podium.state import machine
from podium.state.journal import journal as journal_module
from podium.state.port import Attempt, Group, NewEvent, Question
from podium.state.sqlite import SqliteState, SqliteStates
from tests.support.states import create_state, open_states

BODY = {"text": "x", "role": "user", "attachments": []}


async def say(state: SqliteState, text: str, n: int = 1) -> None:
    await state.append(Group(launch_id="l", n=n, events=[NewEvent("update", {"text": text})]))


async def texts(state: SqliteState) -> list[str]:
    return [event.content["text"] for event in await state.events_after(0, 10_000)]


def snapshot(folder: Path, target: Path) -> Path:
    """The files as a process that is killed now leaves them."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.new"))  # a segment being made is not in use
    return target


def live(tmp_path: Path) -> Path:
    (tmp_path / "live").mkdir()
    return tmp_path / "live"


async def reopened(folder: Path, name: str = "a") -> tuple[SqliteStates, SqliteState]:
    states = await open_states(folder)
    return states, await create_state(states, folder / f"{name}.db")


async def test_what_was_not_committed_comes_from_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COMMIT_AFTER_S", 3600)
    folder = live(tmp_path)
    states, state = await reopened(folder)
    await state.accept("m1", "message", BODY, {}, 10)
    for word in ("one", "two", "three"):
        await say(state, word)
    killed = snapshot(folder, tmp_path / "killed")
    await state.close(clean=True)
    await states.close()
    assert apsw.Connection(str(killed / "a.db")).execute("SELECT count(*) FROM inbox").get == 0
    for _ in range(2):  # replaying twice is replaying once
        states, state = await reopened(killed)
        assert await texts(state) == ["one", "two", "three"]
        assert (await state.overview()).queued == 1
        await state.close(clean=False)
        await states.close()


async def test_what_was_said_to_a_turn_comes_from_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COMMIT_AFTER_S", 3600)
    folder = live(tmp_path)
    states, state = await reopened(folder)
    await state.accept("m1", "message", BODY, {}, 10)
    await state.accept("m2", "message", BODY, {}, 10)
    begun = await state.begin_next("l", None)
    assert begun and begun.attempt
    asked = Question(launch_id="l", n=2, message_id="m1", attempt=1, ordinal=1, kind="question", content={"question": "?"})
    await state.ask(asked)
    await state.ask(msgspec.structs.replace(asked, ordinal=2, n=3))
    await state.withdraw(msgspec.structs.replace(asked, ordinal=2, n=4, kind="withdraw", content={}))
    await state.answer("a1", "m1.1", [None, {"x": 1.5}], {"tenant_id": "t"})
    await state.steer("s1", {"go": ["left", True]}, {"tenant_id": "t"}, 10)
    await state.stop_turn("x1", None, {})
    await state.stop_turn("x2", "m2", {})
    said, events = await state.said(begun.attempt.position), await state.events_after(0, 100)
    killed = snapshot(folder, tmp_path / "killed")
    await state.close(clean=True)
    await states.close()
    states, state = await reopened(killed)
    assert (await state.said(begun.attempt.position), await state.events_after(0, 100)) == (said, events)
    assert (await state.stop_turn("x2", "m2", {})).disposition == "duplicate"
    await state.close(clean=False)
    await states.close()


async def test_a_journal_goes_round_its_segments(tmp_path: Path) -> None:
    folder = live(tmp_path)
    states, state = await reopened(folder)
    for n in range(200):
        await say(state, f"{n} " + "x" * 20_000)
    assert 2 <= len(list((folder / "journal").glob("*.segment"))) <= journal_module.MAX_SEGMENTS
    killed = snapshot(folder, tmp_path / "killed")
    await state.close(clean=False)
    await states.close()
    states, state = await reopened(killed)
    assert [text.partition(" ")[0] for text in await texts(state)] == [str(n) for n in range(200)]
    await state.close(clean=False)
    await states.close()


async def test_the_states_of_many_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COMMIT_AFTER_S", 3600)
    folder = live(tmp_path)
    states = await open_states(folder)
    several = [await create_state(states, folder / f"a{n}.db") for n in range(5)]
    await asyncio.gather(*(say(state, f"{n}.{i}") for i in range(20) for n, state in enumerate(several)))
    killed = snapshot(folder, tmp_path / "killed")
    for state in several:
        await state.close(clean=False)
    await states.close()
    states = await open_states(killed)
    for n in range(5):
        state = await create_state(states, killed / f"a{n}.db")
        assert await texts(state) == [f"{n}.{i}" for i in range(20)]
        await state.close(clean=False)
    await states.close()


async def test_an_operation_that_fails_never_was(tmp_path: Path) -> None:
    states, state = await reopened(tmp_path)
    await say(state, "one")
    before = await state.overview()
    attempt = Attempt(position=9, message_id="m", attempt=1, launch_id="l", first_seq=1, started_at=before.created_at)
    with pytest.raises(ValueError, match="not open"):
        await state.fail_attempt(attempt, "exit", {"code": "x", "message": ""}, will_retry=True)
    await say(state, "two", 2)
    assert [event.seq for event in await state.events_after(0, 10)] == [1, 2]
    assert await texts(state) == ["one", "two"]
    await state.close(clean=False)
    await states.close()


async def test_sqlite_undoing_its_transaction_loses_nothing(tmp_path: Path) -> None:
    """On a full disk SQLite may roll back by itself; what was given out is applied again."""
    states, state = await reopened(tmp_path)
    await say(state, "one")
    await asyncio.sleep(0)
    state._machine._db.execute("ROLLBACK")
    assert await texts(state) == ["one"]
    await say(state, "two", 2)
    assert [event.seq for event in await state.events_after(0, 10)] == [1, 2]
    state._machine._db.execute("ROLLBACK")
    await say(state, "three", 3)
    assert await texts(state) == ["one", "two", "three"]
    await state.close(clean=True)
    await states.close()
    states, state = await reopened(tmp_path)
    assert await texts(state) == ["one", "two", "three"]
    await state.close(clean=True)
    await states.close()


async def test_while_commits_fail_nothing_new_is_accepted_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, state = await reopened(tmp_path)

    def fail(connection: apsw.Connection, number: int) -> None:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(machine, "store_number", fail)
    await say(state, "one")
    with pytest.raises(OSError, match="full"):
        state._machine._commit()
    with pytest.raises(OSError, match="full"):
        await state.accept("m1", "message", BODY, {}, 10)
    await say(state, "two", 2)
    monkeypatch.undo()
    state._machine._commit()
    await state.accept("m1", "message", BODY, {}, 10)
    assert await texts(state) == ["one", "two"]
    await state.close(clean=True)
    await states.close()


async def test_a_file_that_cannot_be_opened_gets_its_changes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COMMIT_AFTER_S", 3600)
    folder = live(tmp_path)
    states, state = await reopened(folder)
    await say(state, "one")
    killed = snapshot(folder, tmp_path / "killed")
    await state.close(clean=False)
    await states.close()
    whole = {path.name: path.read_bytes() for path in killed.glob("a.db*")}
    for name in whole:
        (killed / name).write_bytes(b"no database at all" * 500)
    states = await open_states(killed)
    await states.close()
    assert (killed / "journal.tail").exists()
    for name, content in whole.items():
        (killed / name).write_bytes(content)
    states, state = await reopened(killed)
    assert await texts(state) == ["one"]
    assert not (killed / "journal.tail").exists()
    await state.close(clean=False)
    await states.close()


async def test_changes_that_do_not_fit_their_file_keep_no_other_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "COMMIT_AFTER_S", 3600)
    folder = live(tmp_path)
    states, state = await reopened(folder)
    await state.accept("m1", "message", BODY, {}, 10)
    begun = await state.begin_next("l", None)
    assert begun and begun.attempt
    state._machine._commit()
    await state.fail_attempt(begun.attempt, "exit", {"code": "x", "message": ""}, will_retry=True)
    killed = snapshot(folder, tmp_path / "killed")
    await state.close(clean=False)
    await states.close()
    with apsw.Connection(str(killed / "a.db")) as damaged:
        damaged.execute("DELETE FROM attempts")
    damaged.close()
    states = await open_states(killed)
    with pytest.raises(OSError, match="cannot be applied"):
        await create_state(states, killed / "a.db")
    await states.close()


async def test_numbers_go_on_above_those_of_a_file_that_is_ahead(tmp_path: Path) -> None:
    """After a power cut a file may hold changes whose records were never synced: what is written next must not look old."""
    folder = live(tmp_path)
    states, state = await reopened(folder)
    for n in range(5):
        await say(state, str(n), n + 1)
    await state.close(clean=True)
    await states.close()
    shutil.rmtree(folder / "journal")
    states, state = await reopened(folder)
    await say(state, "after", 6)
    killed = snapshot(folder, tmp_path / "killed")
    await state.close(clean=False)
    await states.close()
    states, state = await reopened(killed)
    assert await texts(state) == ["0", "1", "2", "3", "4", "after"]
    await state.close(clean=False)
    await states.close()


async def test_another_life_of_the_same_name_gets_nothing_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "COMMIT_AFTER_S", 3600)
    folder = live(tmp_path)
    states, state = await reopened(folder)
    await say(state, "one")
    killed = snapshot(folder, tmp_path / "killed")
    await state.close(clean=False)
    await states.close()
    for path in killed.glob("a.db*"):
        path.unlink()
    states = await open_states(killed)
    second = await create_state(states, killed / "a.db", epoch=2)
    assert await texts(second) == []
    await second.close(clean=False)
    await states.close()


async def test_when_the_journal_breaks_everybody_hears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states, state = await reopened(tmp_path)

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output"):
        await state.accept("m1", "message", BODY, {}, 10)
    assert states.journal.broken.done()
    with pytest.raises(OSError, match="Input/output"):
        await say(state, "one")
    async with asyncio.timeout(20):
        with pytest.raises(OSError, match="Input/output"):
            await state.overview()  # it would tell of what is not safe
    monkeypatch.undo()
    await state.close(clean=False)
    await states.close()


async def test_a_change_larger_than_a_segment_is_refused(tmp_path: Path) -> None:
    states, state = await reopened(tmp_path)
    with pytest.raises(ValueError, match="larger than"):
        await say(state, "x" * 600_000)
    await say(state, "small")
    assert await texts(state) == ["small"]
    await state.close(clean=True)
    await states.close()


async def test_a_closed_state_says_so(tmp_path: Path) -> None:
    states, state = await reopened(tmp_path)
    await state.close(clean=True)
    with pytest.raises(OSError, match="closed"):
        await say(state, "one")
    await state.close(clean=True)
    await states.close()

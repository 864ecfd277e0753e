"""The log of an agent: tailed, bounded, and never in the agent's way."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from podium.coordinator import log_store, logs
from podium.coordinator.log_store import Line, LogStore, Taken
from podium.coordinator.logs import LAST_LINES, MAX_LINE_CHARS, MAX_READ_BYTES, AgentLog
from podium.protocol.api import LogRecord
from podium.protocol.errors import TooMany
from tests.support.states import EXECUTOR, START, Clock

DEADLINE_S = 20.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LogStore]:
    made = LogStore(tmp_path / "agent.db", EXECUTOR)
    yield made
    await made.close()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output.log"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "TAIL_EVERY_S", 0.005)


def agent_log(store: LogStore, output: Path, taken: Taken | None = None) -> AgentLog:
    return AgentLog(store, output, Clock(), taken or Taken("launch", 0, 0))


async def everything(store: LogStore) -> list[LogRecord]:
    return await store.read(100_000, 0, None)


async def messages(store: LogStore) -> list[str]:
    return [record.message for record in await everything(store)]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():
            await asyncio.sleep(0.005)


# ---- what the process prints


async def test_what_is_printed_is_read_while_the_agent_runs(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    with output.open("ab", buffering=0) as stdout:
        stdout.write(b"one\ntwo\nthr")
        await until(lambda: _is(messages(store), ["one", "two"]))
        stdout.write(b"ee\n")
        await until(lambda: _is(messages(store), ["one", "two", "three"]))
    await log.drain()
    [first, *_] = await everything(store)
    assert (first.level, first.source, first.module) == ("info", "output", "")
    assert first.at > START


async def test_the_end_takes_what_is_left_even_without_a_newline(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    output.write_bytes(b"a\nlast words")
    await log.drain()
    assert await messages(store) == ["a", "last words"]


async def test_an_agent_that_prints_nothing_has_an_empty_log(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    await log.drain()
    assert await messages(store) == []
    assert await log.last_lines() == []


async def test_what_was_read_takes_no_room(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    size, block = 0, b"x" * 99 + b"\n"
    with output.open("ab", buffering=0) as stdout:
        for _ in range(8):
            size += stdout.write(block * 5_000)
            await until(partial(_read_up_to, log, size))
    await log.drain()
    found = output.stat()
    assert found.st_size == size == 4_000_000
    assert found.st_blocks * 512 < 100_000


async def test_an_agent_may_cut_its_own_file(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    with output.open("ab", buffering=0) as stdout:
        stdout.write(b"a long line before\n")
        await until(lambda: _is(messages(store), ["a long line before"]))
        os.ftruncate(stdout.fileno(), 0)
        stdout.write(b"after\n")
        await until(lambda: _is(messages(store), ["a long line before", "after"]))
    await log.drain()
    assert await messages(store) == ["a long line before", "after"]


async def test_an_agent_may_replace_or_remove_what_it_likes(store: LogStore, output: Path, tmp_path: Path) -> None:
    """It cannot, as its log lies in a directory it may not enter; should it ever, nothing breaks and no link is followed."""
    log = agent_log(store, output)
    (tmp_path / "secret").write_bytes(b"secret\n")
    output.symlink_to(tmp_path / "secret")
    await log.drain()
    assert await messages(store) == []
    assert (tmp_path / "secret").read_bytes() == b"secret\n"


async def test_a_sparse_file_of_any_size_is_skipped(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    with output.open("wb") as stdout:
        os.truncate(stdout.fileno(), 2**36)
        stdout.seek(2**36)
        stdout.write(b"\nthe end\n")
    await log.drain()
    found = await messages(store)
    assert "came too fast and were dropped" in found[0]
    assert found[-1] == "the end"
    assert all(len(message) <= MAX_LINE_CHARS for message in found)


async def test_long_lines_are_cut(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    output.write_bytes(b"x" * 20_000 + b"\nshort\n" + b"y" * 20_000)
    await log.drain()
    assert await messages(store) == ["x" * MAX_LINE_CHARS, "short", "y" * MAX_LINE_CHARS]


async def test_a_line_that_never_ends_is_not_held(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    with output.open("ab", buffering=0) as stdout:
        stdout.write(b"z" * (MAX_LINE_CHARS + 1))
        await until(lambda: _is(messages(store), ["z" * MAX_LINE_CHARS]))
    await log.drain()


async def test_bytes_that_are_no_text_are_shown_as_such(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    output.write_bytes(b"\xff\x00caf\xc3\xa9\n")
    await log.drain()
    assert await messages(store) == ["�\0café"]


async def test_too_much_at_once_is_skipped_and_said(store: LogStore, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BACKLOG_BYTES", MAX_READ_BYTES)
    log = agent_log(store, output)
    output.write_bytes((b"0" * 1023 + b"\n") * 3000)
    await log.drain()
    found = await everything(store)
    assert (found[0].level, found[0].source) == ("warning", "platform")
    assert str(3000 * 1024 - MAX_READ_BYTES) in found[0].message
    assert len(found) == 1 + 1024


class Endless(LogStore):
    """A store beside which somebody prints another line whenever it stores some."""

    output: Path

    async def append(self, lines: list[Line], taken: Taken) -> None:
        with self.output.open("ab") as stdout:
            stdout.write(b"more\n")
        await super().append(lines, taken)


async def test_an_output_that_never_ends_does_not_keep_the_log_from_ending(tmp_path: Path, output: Path) -> None:
    store = Endless(tmp_path / "endless.db", EXECUTOR)
    store.output = output
    output.write_bytes(b"first\n")
    log = agent_log(store, output)
    async with asyncio.timeout(DEADLINE_S):
        await log.drain()
    assert (await messages(store))[:2] == ["first", "more"]
    await store.close()


# ---- what is said by frames


async def test_records_keep_their_level_source_and_module(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    log.add("WARNING", "agent", "careful", "notes.agent")
    log.add("shout", "platform", "unknown level", "m" * 300)
    log.add("error", "agent", "x" * 20_000)
    await log.drain()
    one, two, three = await everything(store)
    assert (one.level, one.source, one.message, one.module) == ("warning", "agent", "careful", "notes.agent")
    assert (two.level, two.source, two.module) == ("info", "platform", "m" * 256)
    assert three.message == "x" * MAX_LINE_CHARS


async def test_what_comes_faster_than_it_is_stored_is_dropped(
    store: LogStore, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_BUFFERED", 5)
    log = agent_log(store, output)
    for number in range(20):
        log.add("info", "agent", str(number))
    await log.drain()
    assert await messages(store) == ["0", "1", "2", "3", "4"]


async def test_the_last_lines_tell_why_it_ended(store: LogStore, output: Path) -> None:
    log = agent_log(store, output)
    output.write_bytes(b"".join(b"%d\n" % number for number in range(100)) + b"Traceback" + b"!" * 2000)
    await log.drain()
    lines = await log.last_lines()
    assert lines[:-1] == [str(number) for number in range(100 - LAST_LINES + 1, 100)]
    assert lines[-1].startswith("Traceback!")
    assert len(lines[-1]) == 1000


# ---- another coordinator goes on


async def test_another_coordinator_goes_on_where_the_records_end(store: LogStore, output: Path) -> None:
    first = agent_log(store, output)
    with output.open("ab", buffering=0) as stdout:
        stdout.write(b"one\ntwo\nthr")
        await until(lambda: _is(messages(store), ["one", "two"]))
        first._ending.set()  # the coordinator dies: what it has read and not stored is gone with it
        stdout.write(b"ee\nfour")
    second = agent_log(store, output, await store.taken("launch"))
    await second.drain()
    assert await messages(store) == ["one", "two", "three", "four"]
    assert (await store.taken("launch")).output_bytes == output.stat().st_size


async def test_records_of_frames_are_stored_before_the_frames_count_and_once(store: LogStore, output: Path) -> None:
    first = agent_log(store, output)
    first.frame(3, "info", "said", "notes")
    await first.keep()
    assert await messages(store) == ["said"]
    await first.drain()
    second = agent_log(store, output, await store.taken("launch"))
    second.frame(3, "info", "said", "notes")
    second.frame(4, "info", "said again", "notes")
    await second.drain()
    assert await messages(store) == ["said", "said again"]


async def test_a_new_launch_begins_anew(store: LogStore, output: Path) -> None:
    await fill(store, output, "info")
    assert await store.taken("another") == Taken("another", 0, 0)


# ---- readers that follow


async def test_a_reader_gets_what_is_there_and_what_comes_each_once(store: LogStore, output: Path) -> None:
    await fill(store, output, *["info"] * 3)
    following = store.follow(1, None)
    assert [record.id for record in await anext(following)] == [2, 3]
    coming = asyncio.ensure_future(anext(following))
    await fill(store, output, *["info"] * 2)
    assert [record.id for record in await coming] == [4, 5]
    await following.aclose()


async def test_a_reader_of_bad_news_is_not_told_of_other(store: LogStore, output: Path) -> None:
    following = store.follow(0, "error")
    coming = asyncio.ensure_future(anext(following))
    await fill(store, output, "info", "debug", "warning")
    await fill(store, output, "critical")
    assert [(record.id, record.level) for record in await coming] == [(4, "critical")]
    await following.aclose()


async def test_a_reader_is_given_a_page_at_a_time(store: LogStore, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_store, "PAGE_RECORDS", 2)
    await fill(store, output, *["info"] * 5)
    following = store.follow(0, None)
    assert [[record.id for record in await anext(following)] for _ in range(3)] == [[1, 2], [3, 4], [5]]
    await following.aclose()


async def test_readers_are_bounded_and_end_with_the_store(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "other.db", EXECUTOR)
    following = store.follow(0, None)
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    with pytest.raises(TooMany, match="1 readers follow this log"):
        store.require_room(1)
    await store.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    store.require_room(1)


# ---- the store


async def fill(store: LogStore, output: Path, *levels: str) -> None:
    log = agent_log(store, output)
    for number, level in enumerate(levels):
        log.add(level, "agent", str(number))
    await log.drain()


async def test_pages_count_from_the_newest_and_read_oldest_first(store: LogStore, output: Path) -> None:
    await fill(store, output, *["info"] * 10)
    pages = [[record.message for record in await store.read(4, offset, None)] for offset in (0, 4, 8, 12)]
    assert pages == [["6", "7", "8", "9"], ["2", "3", "4", "5"], ["0", "1"], []]
    ids = [record.id for record in await everything(store)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("level", "found"), [(None, "01234"), ("debug", "01234"), ("info", "1234"), ("warning", "234"), ("critical", "4")]
)
async def test_a_level_asks_for_that_and_worse(store: LogStore, output: Path, level: str | None, found: str) -> None:
    await fill(store, output, "debug", "info", "warning", "error", "critical")
    assert "".join([record.message for record in await store.read(10, 0, level)]) == found


async def test_only_the_newest_are_kept(store: LogStore, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_store, "KEEP_RECORDS", 3)
    await fill(store, output, *["info"] * 5)
    await fill(store, output, *["info"] * 2)
    assert await messages(store) == ["4", "0", "1"]


async def test_it_survives_the_platform(tmp_path: Path, output: Path) -> None:
    first = LogStore(tmp_path / "agent.db", EXECUTOR)
    await fill(first, output, "info", "error")
    await first.close()
    again = LogStore(tmp_path / "agent.db", EXECUTOR)
    assert await messages(again) == ["0", "1"]
    await again.close()


async def test_a_disk_that_is_full_loses_records_and_nothing_else(store: LogStore, output: Path) -> None:
    connection = store._connection  # SQLite's own limit is a real full disk to it
    connection.pragma("max_page_count", connection.pragma("page_count"))
    log = agent_log(store, output)
    output.write_bytes((b"x" * 4000 + b"\n") * 50)
    await log.drain()
    assert await log.last_lines() == []
    connection.pragma("max_page_count", 100_000)
    await fill(store, output, "info")
    assert "0" in await messages(store)


async def _is(found: Awaitable[list[str]], wanted: list[str]) -> bool:
    return await found == wanted


async def _read_up_to(log: AgentLog, size: int) -> bool:
    return log._read_bytes == size

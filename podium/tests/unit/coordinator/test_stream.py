"""Readers get every event once and in order, wherever it is served from and whatever they were told before."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.coordinator import stream as stream_module
from podium.coordinator.stream import PAGE_EVENTS, Line, Stream, resume
from podium.protocol.errors import InvalidRequest, TooMany
from podium.protocol.events import Encoded, Event, Reset, Truncate
from podium.protocol.forms import SSE, form
from podium.protocol.ids import Cursor
from podium.state.port import Group, NewEvent
from podium.state.sqlite import SqliteState
from tests.support.states import make_state

MANY = 8000
"""More events than memory keeps."""
EVENT_BYTES = 340
"""What one of these events takes there, about."""

# ---- resume


class Told(NamedTuple):
    """A line as hosts have written it, and what a reader has seen of it: names of events, oldest first."""

    line: Line
    events: list[Cursor]
    seen: list[Cursor]
    cursor: Cursor


@st.composite
def tales(draw: st.DrawFn) -> Told:
    """Hosts die and lose the end of the line, others go on in a new epoch; a reader has followed for a while."""
    events, epochs, moments = list[Cursor](), list[Cursor](), list[tuple[int, list[Cursor]]]()
    epoch = 0
    for _ in range(draw(st.integers(1, 5))):
        epoch += draw(st.integers(1, 3))
        events = events[: draw(st.integers(0, len(events)))]
        epochs.append(Cursor(epoch, len(events)))
        moments.append((epoch, list(events)))
        for _ in range(draw(st.integers(0, 6))):
            events.append(Cursor(epoch, len(events) + 1))
            moments.append((epoch, list(events)))
    at, seen = draw(st.sampled_from(moments))
    if draw(st.booleans()):  # it was behind
        seen = seen[: draw(st.integers(0, len(seen)))]
        cursor = seen[-1] if seen else Cursor(0, 0)
    else:  # it was told the cursor of the moment, by `status`
        cursor = Cursor(at, len(seen))
    line = Line(epochs, draw(st.integers(1, len(events) + 1)), Cursor(epoch, len(events)))
    return Told(line, events, seen, cursor)


@given(tales())
def test_what_a_reader_keeps_and_what_it_gets_make_the_line(told: Told) -> None:
    after, notices = resume(told.cursor, told.line)
    kept = told.seen
    for notice in notices:
        match notice:
            case Truncate():
                assert notice.after_seq < len(kept)
                assert Cursor(notice.epoch, notice.after_seq) in told.line.epochs
                kept = kept[: notice.after_seq]
            case Reset():
                assert notice.first_seq == told.line.first_seq == after + 1
                kept = told.events[:after]  # what it will never get
    assert kept + told.events[after:] == told.events


@given(tales())
def test_nothing_is_dropped_that_is_still_true(told: Told) -> None:
    _, notices = resume(told.cursor, told.line)
    truncated = [notice for notice in notices if isinstance(notice, Truncate)]
    if not truncated:
        assert told.seen == told.events[: len(told.seen)]
    for notice in truncated:
        lost = Cursor(notice.epoch, notice.after_seq)
        assert told.seen[: lost.seq] == told.events[: lost.seq]
        assert told.seen[lost.seq] not in told.events


@given(tales())
def test_without_a_cursor_it_begins_at_the_oldest_event_kept(told: Told) -> None:
    assert resume(None, told.line) == (told.line.first_seq - 1, [])


@given(tales(), st.integers(0, 3), st.integers(0, 30))
def test_a_cursor_that_was_never_given_out_is_refused(told: Told, epochs: int, events: int) -> None:
    head = told.line.head
    if epochs or events:
        with pytest.raises(InvalidRequest, match="ahead"):
            resume(Cursor(head.epoch + epochs, head.seq + events), told.line)


def test_a_cursor_of_an_epoch_that_went_on_is_as_good_as_new() -> None:
    assert resume(Cursor(1, 5), Line([Cursor(1, 0), Cursor(2, 5)], 1, Cursor(2, 9))) == (5, [])


def test_the_lowest_base_of_all_later_epochs_counts() -> None:
    line = Line([Cursor(1, 0), Cursor(2, 8), Cursor(3, 4), Cursor(4, 6)], 1, Cursor(4, 20))
    assert resume(Cursor(1, 9), line) == (4, [Truncate(epoch=3, after_seq=4)])
    assert resume(Cursor(3, 9), line) == (6, [Truncate(epoch=4, after_seq=6)])


def test_what_was_lost_and_what_is_no_longer_kept_are_both_said() -> None:
    line = Line([Cursor(1, 0), Cursor(2, 4)], 10, Cursor(2, 20))
    assert resume(Cursor(1, 6), line) == (9, [Truncate(epoch=2, after_seq=4), Reset(first_seq=10)])


# ---- readers


class Instance:
    """A state on disk and the stream of its events."""

    def __init__(self, state: SqliteState, max_readers: int) -> None:
        self.state = state
        self.stream = Stream(self.state, Cursor(1, 0), max_readers)
        self._n = 0

    @classmethod
    async def open(cls, path: Path, max_readers: int = 10) -> "Instance":
        return cls(await make_state(path), max_readers)

    async def commit(self, count: int) -> list[Event]:
        """Log events without releasing them."""
        self._n += 1
        events = [NewEvent("update", {"text": str(number)}, f"m{number % 2}", 1) for number in range(count)]
        return await self.state.append(Group(launch_id="l", n=self._n, events=events))

    async def publish(self, count: int) -> None:
        self.stream.publish(await self.commit(count))


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    made = await Instance.open(tmp_path / "state.db")
    yield made
    await made.state.close(clean=False)


async def read_until(instance: Instance, after: int, last: int) -> list[int]:
    numbers = list[int]()
    async with aclosing(reader(instance, after)) as batches:
        async for batch in batches:
            numbers += [event.seq for event in batch]
            if numbers[-1] >= last:
                break
    return numbers


async def reader(instance: Instance, after: int) -> AsyncGenerator[list[Encoded], None]:
    async with aclosing(instance.stream.read(after)) as batches:
        async for batch in batches:
            yield batch.events


async def test_a_reader_that_keeps_up_is_served_from_memory(tmp_path: Path) -> None:
    instance = await Instance.open(tmp_path / "state.db")
    await instance.publish(20)
    await instance.publish(20)
    await instance.state.close(clean=False)  # nothing can be read from it any more
    assert await read_until(instance, 0, 40) == list(range(1, 41))
    assert await read_until(instance, 25, 40) == list(range(26, 41))


async def test_what_memory_no_longer_holds_comes_from_the_log(instance: Instance) -> None:
    last = MANY + 2 * PAGE_EVENTS + 7
    await instance.publish(last - 10)
    await instance.publish(10)
    assert await read_until(instance, 0, last) == list(range(1, last + 1))


async def test_what_was_there_before_the_stream_comes_from_the_log(instance: Instance) -> None:
    await instance.commit(30)
    instance.stream = Stream(instance.state, Cursor(1, 30), 10)
    assert await read_until(instance, 10, 30) == list(range(11, 31))


async def test_a_slow_reader_delays_nobody_and_misses_nothing(instance: Instance) -> None:
    async with aclosing(reader(instance, 0)) as slow:
        await instance.publish(1)
        numbers = [event.seq for event in await anext(slow)]
        await instance.publish(MANY)
        await instance.publish(MANY)
        last = 2 * MANY + 1
        assert await read_until(instance, last - 5, last) == list(range(last - 4, last + 1))
        while numbers[-1] < last:
            numbers += [event.seq for event in await anext(slow)]
    assert numbers == list(range(1, last + 1))


async def test_many_readers_while_it_is_written(instance: Instance) -> None:
    async def write() -> None:
        for count in (1, 3, 700, 1, 900, 2, 43):
            await instance.publish(count)
            await asyncio.sleep(0)

    *found, _ = await asyncio.gather(*(read_until(instance, after, 1650) for after in (0, 0, 1, 4, 1000)), write())
    assert found == [list(range(after + 1, 1651)) for after in (0, 0, 1, 4, 1000)]
    assert instance.stream.readers == 0


async def test_commits_that_are_released_in_the_other_order_are_read_in_the_right_one(instance: Instance) -> None:
    await instance.publish(2)
    first, second = await instance.commit(2), await instance.commit(2)
    async with aclosing(reader(instance, 2)) as batches:
        instance.stream.publish(second)
        instance.stream.publish(first)
        numbers = list[int]()
        while len(numbers) < 4:
            async with asyncio.timeout(10):
                numbers += [event.seq for event in await anext(batches)]
    assert numbers == [3, 4, 5, 6]
    assert instance.stream.head == Cursor(1, 6)


async def test_silence_is_said(instance: Instance) -> None:
    batches = instance.stream.read(0, 0.001)
    assert not await anext(batches)
    await instance.publish(2)
    while not (batch := await anext(batches)):
        pass
    assert [event.seq for event in batch.events] == [1, 2]
    assert not await anext(batches)
    await batches.aclose()


async def test_an_event_is_encoded_and_joined_once_for_all_readers(instance: Instance) -> None:
    one, other = (instance.stream.read(0) for _ in range(2))
    await instance.publish(3)
    first, second = await anext(one), await anext(other)
    assert first.joined(SSE) is second.joined(SSE)
    assert first.joined(SSE).count(b"id: 1.") == 3
    assert first.joined(form("websocket", None)).count(b'"type":"update"') == 3
    for batches in (one, other):
        await batches.aclose()


async def test_there_is_a_limit_to_readers_and_who_leaves_makes_room(tmp_path: Path) -> None:
    instance = await Instance.open(tmp_path / "state.db", max_readers=2)
    await instance.publish(1)
    one, other, third = (reader(instance, 0) for _ in range(3))
    await anext(one)
    await anext(other)
    with pytest.raises(TooMany) as error:
        instance.stream.require_room()
    assert error.value.extra == {"limit": 2, "current": 2}
    with pytest.raises(TooMany):
        await anext(third)
    await one.aclose()
    instance.stream.require_room()
    assert len(await anext(reader(instance, 0))) == 1
    await other.aclose()
    await instance.state.close(clean=False)


async def test_a_reader_behind_what_is_kept_is_ended_and_told_when_it_asks_again(instance: Instance) -> None:
    await instance.publish(5000)
    instance.stream._recent.clear()
    slow = reader(instance, 0)
    seen = (await anext(slow))[-1].seq
    for _ in range(3):
        await instance.state.prune_events(100)
    kept = (await instance.state.overview()).first_seq
    assert kept > seen + 1
    assert [batch async for batch in slow] == []
    assert await instance.stream.position(Cursor(1, seen)) == (kept - 1, [Reset(first_seq=kept)])


async def test_the_end_of_the_stream_ends_its_readers(instance: Instance) -> None:
    await instance.publish(3)
    waiting = [asyncio.create_task(_all(instance, after)) for after in (0, 3)]
    while instance.stream.readers < 2:
        await asyncio.sleep(0)
    while not all(task.done() for task in waiting):
        instance.stream.close()
        await asyncio.sleep(0)
    assert await waiting[1] == []
    assert await _all(instance, 0) == []
    assert instance.stream.readers == 0


async def _all(instance: Instance, after: int) -> list[int]:
    return [event.seq async for batch in reader(instance, after) for event in batch]


async def test_a_position_is_found_against_the_log(instance: Instance) -> None:
    await instance.publish(4)
    assert await instance.stream.position(None) == (0, [])
    assert await instance.stream.position(Cursor(1, 3)) == (3, [])
    with pytest.raises(InvalidRequest):
        await instance.stream.position(Cursor(1, 5))
    await instance.state.begin_epoch(2, "takeover")
    assert await instance.stream.position(Cursor(1, 6)) == (4, [Truncate(epoch=2, after_seq=4)])


async def test_nothing_published_wakes_nobody(instance: Instance) -> None:
    instance.stream.publish([])
    assert instance.stream.head == Cursor(1, 0)


steps = st.lists(st.tuples(st.just("write"), st.integers(1, 5)) | st.tuples(st.just("read"), st.integers(0, 2)), max_size=25)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_readers_of_any_speed(schedule: list[tuple[str, int]]) -> None:
    """With room for four events in memory and pages of three, readers cross between memory and log all the time."""
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "RECENT_BYTES", 4 * EVENT_BYTES)
        patch.setattr(stream_module, "UNREAD_BYTES", 4 * EVENT_BYTES)
        patch.setattr(stream_module, "GROUP_BYTES", EVENT_BYTES)
        patch.setattr(stream_module, "PAGE_EVENTS", 3)
        asyncio.run(_follow(Path(directory) / "state.db", schedule))


async def _follow(path: Path, schedule: list[tuple[str, int]]) -> None:
    instance = await Instance.open(path)
    readers = [reader(instance, 0) for _ in range(3)]
    seen: list[list[int]] = [[], [], []]
    for step, number in schedule:
        if step == "write":
            await instance.publish(number)
        elif len(seen[number]) < instance.stream.head.seq:
            seen[number] += [event.seq for event in await anext(readers[number])]
    last = instance.stream.head.seq
    for number, batches in enumerate(readers):
        while len(seen[number]) < last:
            seen[number] += [event.seq for event in await anext(batches)]
        await batches.aclose()
        assert seen[number] == list(range(1, last + 1))
    await instance.state.close(clean=False)

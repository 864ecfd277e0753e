"""A stream that is held: over any cuts, lost hosts and old owners its client sees one line, each event once and in order."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import aiohttp
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.gateway import held as held_module
from podium.gateway.held import HeldStream
from podium.protocol.errors import NotFound, Unavailable
from podium.protocol.events import Event, Frame, Reset, Status, Truncate, encoded
from podium.protocol.forms import form
from podium.protocol.ids import Cursor
from podium.protocol.pieces import Piece, pack
from tests.support.event_line import EventLine
from tests.unit.protocol.test_forms import read

FORM = form("websocket", None)


class Answer:
    """One answer of a coordinator, in chunks; then it ends, or the connection breaks."""

    def __init__(self, data: bytes, chunk_bytes: int, broken: bool = False) -> None:
        self._chunks: Iterator[bytes] = (data[start : start + chunk_bytes] for start in range(0, len(data), chunk_bytes))
        self._broken = broken
        self.closed = False
        self.content = SimpleNamespace(readany=self._readany)

    async def _readany(self) -> bytes:
        chunk = next(self._chunks, b"")
        if not chunk and self._broken:
            raise aiohttp.ClientPayloadError("cut")
        return chunk

    def close(self) -> None:
        self.closed = True


def as_response(answer: Answer) -> aiohttp.ClientResponse:
    return cast(aiohttp.ClientResponse, answer)


def served(line: EventLine, cursor: Cursor | None) -> bytes:
    """What an owner sends a gateway that goes on behind `cursor`; pieces of two events."""
    pieces, events = [], list[Event]()
    for frame in line.after(cursor):
        if isinstance(frame, Event):
            events.append(frame)
        else:
            pieces.append(Piece(FORM.frame(frame), _behind(line, frame), moves=True, fences=isinstance(frame, Truncate)))
    pieces = [piece for piece in pieces if piece.cursor]
    for start in range(0, len(events), 2):
        pair = events[start : start + 2]
        pieces.append(Piece(b"".join(FORM.event(encoded(event)) for event in pair), pair[-1].cursor))
    return b"".join(map(pack, pieces))


def _behind(line: EventLine, frame: Frame) -> Cursor | None:
    match frame:
        case Truncate():
            return Cursor(frame.epoch, frame.after_seq)
        case Reset():
            return Cursor(line.head.epoch, frame.first_seq - 1)
        case _:
            return None


class Client:
    """What a client makes of the frames it gets. Every one has to be news."""

    def __init__(self) -> None:
        self.view: list[Event] = []
        self.last: Status | None = None

    def take(self, data: bytes) -> None:
        for body in read(data):
            frame = frame_of(body)
            if isinstance(frame, Truncate):
                self.view = [event for event in self.view if event.seq <= frame.after_seq]
            elif isinstance(frame, Reset):
                self.view = []
            elif isinstance(frame, Event):
                assert not self.view or frame.seq == self.view[-1].seq + 1
                assert not self.view or frame.epoch >= self.view[-1].epoch
                self.view.append(frame)
            else:
                self.last = frame


def frame_of(body: bytes) -> Frame:
    return msgspec.json.decode(body, type=Frame)


PHASES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 3), st.integers(0, 2000), st.booleans(), st.booleans()),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(PHASES, st.integers(1, 400))
def test_over_cuts_lost_hosts_and_old_owners(phases: list[tuple[int, int, int, int, bool, bool]], chunk_bytes: int) -> None:
    asyncio.run(_follow(phases, chunk_bytes))


async def _follow(phases: list[tuple[int, int, int, int, bool, bool]], chunk_bytes: int) -> None:
    line, left, client = EventLine(), list(phases), Client()

    async def answer(cursor: Cursor | None) -> aiohttp.ClientResponse:
        if not left:
            line.add("complete")
            end = pack(Piece(b"", last=True))
            return as_response(Answer(served(line, cursor) + end, chunk_bytes))
        grown, lost, dropped, cut_after, broken, stale = left.pop(0)
        for _ in range(grown):
            line.add(text="x")
        data = served(line, cursor)
        if lost:
            old = line.add(text="written by a host that is not the owner any more")
            line.events.pop()
            line.lose(lost)
            if stale:  # it goes on sending what nobody else has
                data += pack(Piece(FORM.event(encoded(old)), old.cursor))
        line.keep_from(min(line.first_seq + dropped, line.head.seq + 1))
        return as_response(Answer(data if stale else data[:cut_after], chunk_bytes, broken))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_module, "PAUSE_S", 0)
        held = HeldStream(await answer(None), answer, FORM)
        async for piece in held.pieces():
            client.take(piece.data)
    assert held.failure is None
    kept = [event for event in line.events if event.seq >= client.view[0].seq]
    assert client.view == kept


def event_piece(epoch: int, seq: int) -> bytes:
    event = Event(epoch=epoch, seq=seq, event_type="update", message_id="m", attempt=1, ts=EventLine().add().ts, content={})
    return pack(Piece(FORM.event(encoded(event)), event.cursor))


@pytest.mark.parametrize(
    "again",
    [event_piece(1, 3), event_piece(2, 1), event_piece(2, 2)],
    ids=["an epoch below", "a number below", "the same again"],
)
async def test_what_no_owner_would_send_is_not_passed_on(again: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "PAUSE_S", 0)
    cursors: list[Cursor | None] = []

    async def reopen(cursor: Cursor | None) -> aiohttp.ClientResponse:
        cursors.append(cursor)
        return as_response(Answer(pack(Piece(b"", last=True)), 100))

    first = Answer(event_piece(2, 1) + event_piece(2, 2) + again, 29)
    client = Client()
    async for piece in HeldStream(as_response(first), reopen, FORM).pieces():
        client.take(piece.data)
    assert [event.cursor for event in client.view] == [Cursor(2, 1), Cursor(2, 2)]
    assert cursors == [Cursor(2, 2)]
    assert first.closed


async def test_an_instance_that_is_gone_ends_the_stream_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "PAUSE_S", 0)

    async def reopen(_: Cursor | None) -> aiohttp.ClientResponse:
        raise NotFound("it was deleted")

    held, client = HeldStream(as_response(Answer(event_piece(3, 7), 100)), reopen, FORM), Client()
    async for piece in held.pieces():
        client.take(piece.data)
        last = piece.last
    assert last
    assert client.last == Status(cursor="3.7", status="closed", code="not_found", reason="it was deleted")
    assert isinstance(held.failure, NotFound)


async def test_it_gives_up_after_a_while_and_says_heartbeats_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PAUSE_S", 0.001), ("HEARTBEAT_S", 0.01), ("HOLD_FOR_S", 0.1)):
        monkeypatch.setattr(held_module, name, value)

    async def reopen(_: Cursor | None) -> aiohttp.ClientResponse:
        raise ConnectionError("nobody listens")

    held, client, beats = HeldStream(as_response(Answer(event_piece(3, 7), 100)), reopen, FORM), Client(), 0
    async for piece in held.pieces():
        client.take(piece.data)
        beats += piece.data == FORM.heartbeat
    assert beats
    assert client.last
    assert (client.last.cursor, client.last.code) == ("3.7", "unavailable")
    assert isinstance(held.failure, Unavailable)


async def test_a_coordinator_that_is_silent_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "PAUSE_S", 0)
    monkeypatch.setattr(held_module, "SILENCE_S", 0.01)
    silent = Answer(b"", 1)
    silent.content = SimpleNamespace(readany=asyncio.Event().wait)

    async def reopen(_: Cursor | None) -> aiohttp.ClientResponse:
        return as_response(Answer(event_piece(1, 1) + pack(Piece(b"", last=True)), 100))

    client = Client()
    async for piece in HeldStream(as_response(silent), reopen, FORM).pieces():
        client.take(piece.data)
    assert [event.seq for event in client.view] == [1]
    assert silent.closed

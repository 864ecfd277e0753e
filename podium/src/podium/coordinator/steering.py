"""What people say into a turn: guidance, stops, answers. Each is durable before its receipt, then given to the agent.

It is given from what the state holds, so that a retry, or a coordinator that takes a live agent over, gives it again; the agent
drops what it knows.
"""

import asyncio
from typing import Any, NamedTuple

import msgspec

from podium.coordinator.host import Limits
from podium.coordinator.session import Session
from podium.coordinator.stopping import out_of_control
from podium.coordinator.stream import Stream
from podium.coordinator.waiters import Waiters
from podium.coordinator.work import Failed, Work
from podium.protocol.errors import TooLarge
from podium.protocol.events import Receipt
from podium.protocol.messages import Steer, StopTurn
from podium.state.port import Said, StateStore, Taken

MAX_CONTENT_BYTES = 64 * 1024
_STOPPED = Failed("abandoned", "stopped", "it did not end by itself when it was stopped")


class _Turn(NamedTuple):
    session: Session
    work: Work
    given: set[str]
    watches: list[asyncio.Task[None]]


class Steering:
    """That of one instance. `attach` it to each turn; `detach` after."""

    def __init__(self, state: StateStore, stream: Stream, waiters: Waiters, limits: Limits) -> None:
        self._state = state
        self._stream = stream
        self._waiters = waiters
        self._limits = limits
        self._turn: _Turn | None = None
        self._missed = False
        self._looking = asyncio.Lock()

    # ---- from people

    async def steer(self, receipt_id: str, content: Any, origin: dict[str, Any]) -> Receipt:
        """Guidance for the turn in flight, or for the message that is next; NoTurn where there is none, TooMany, TooLarge."""
        _bound(content)
        return await self._taken(receipt_id, await self._state.steer(receipt_id, content, origin, self._limits.steers))

    async def stop(self, receipt_id: str, message_id: str | None, origin: dict[str, Any]) -> Receipt:
        """End the turn in flight, or the one of a message, which need not have begun; NoTurn, NotFound."""
        return await self._taken(receipt_id, await self._state.stop_turn(receipt_id, message_id, origin))

    async def answer(self, receipt_id: str, request_id: str, content: Any, origin: dict[str, Any]) -> Receipt:
        """What a person says to a question; NotFound, AlreadyAnswered, QuestionClosed, InvalidRequest, TooLarge."""
        _bound(content)
        return await self._taken(receipt_id, await self._state.answer(receipt_id, request_id, content, origin))

    async def _taken(self, receipt_id: str, taken: Taken) -> Receipt:
        self._stream.publish(taken.events)
        if taken.ended and taken.message_id in self._waiters:
            status = await self._state.message(taken.message_id)
            if status:
                self._waiters.settle(taken.message_id, status)
        if taken.disposition != "queued":
            await self._look()
        return Receipt(id=receipt_id, disposition=taken.disposition)

    # ---- to the agent

    def attach(self, session: Session, work: Work, said: Said) -> None:
        """A turn has been handed over; `said` is what was said to it before."""
        self._turn = _Turn(session, work, set(), [])
        self._give(self._turn, said)

    async def catch_up(self) -> None:
        """Give what was said between the begin of the turn and `attach`."""
        if self._missed:
            await self._look()

    def detach(self) -> None:
        """The turn has ended."""
        turn, self._turn = self._turn, None
        self._missed = False
        for watch in turn.watches if turn else ():
            watch.cancel()

    async def _look(self) -> None:
        async with self._looking:
            turn = self._turn
            if turn is None:
                self._missed = True
                return
            assert turn.work.attempt
            said = await self._state.said(turn.work.attempt.position)
            if turn is self._turn and not turn.work.ended.done():
                self._give(turn, said)

    def _give(self, turn: _Turn, said: Said) -> None:
        turn.session.questions.settle(turn.work, said.questions)
        for entry in said.entries:
            if entry.message_id in turn.given:
                continue
            turn.given.add(entry.message_id)
            frame_id = f"{entry.message_id}#{turn.work.number}"
            if entry.kind == "steer":
                turn.session.link.send(Steer(id=frame_id, message_id=turn.work.message_id, content=entry.body["content"]))
            elif entry.kind == "stop":
                self._stop(turn, frame_id)

    def _stop(self, turn: _Turn, frame_id: str) -> None:
        turn.session.link.send(StopTurn(id=frame_id, message_id=turn.work.message_id))
        turn.work.stopping = True
        turn.watches.append(asyncio.create_task(self._watch(turn)))

    async def _watch(self, turn: _Turn) -> None:
        await out_of_control(turn.session.link, self._limits)
        turn.work.expire(_STOPPED)


def _bound(content: Any) -> None:
    size_bytes = len(msgspec.json.encode(content))
    if size_bytes > MAX_CONTENT_BYTES:
        raise TooLarge(
            f"the content has {size_bytes} bytes; {MAX_CONTENT_BYTES} are allowed: put more into a file or a message",
            limit=MAX_CONTENT_BYTES, current=size_bytes,
        )  # fmt: skip

"""What clients of one agent know: every message with its answer, every frame of their readers, every fault in between."""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec

from podium.protocol.api import Reply
from podium.protocol.events import Event, Frame, Reset, Truncate

FINAL = ("complete", "error", "attempt_failed")
"""What is fsynced before it is told."""


class Fault(msgspec.Struct, kw_only=True):
    """Something was done to the platform between two ticks.

    `excuses` are the outcomes of attempts it may lead to, each up to `times` times for one message.
    """

    kind: str
    excuses: frozenset[str]
    begun: int
    ended: int | None = None
    times: int = 1
    loses_events: bool = False
    agent: str | None = None


class Sent(msgspec.Struct, kw_only=True):
    """A message as its sender knows it. Ticks order what happened: `acked` when it was known to be accepted, `done` its end."""

    message_id: str
    text: str
    sent: int
    acked: int | None = None
    done: int | None = None
    reply: Reply | None = None
    failed: str | None = None


class Ticks:
    """A clock that orders everything the clients of a run do and see."""

    def __init__(self) -> None:
        self._counter = count(1)

    def __call__(self) -> int:
        return next(self._counter)


class Ledger:
    """Everything about one agent."""

    def __init__(self, agent: str, ticks: Ticks) -> None:
        self.agent = agent
        self.ticks = ticks
        self.sent: dict[str, Sent] = {}
        self.readers: list[Reader] = []
        self.named: dict[tuple[int, int], Event] = {}
        self.faults: list[Fault] = []
        self.completions = 0

    @property
    def busy(self) -> bool:
        """Whether a message is on its way."""
        return any(message.done is None for message in self.sent.values())

    def begin(self, text: str) -> Sent:
        """A message that is about to be sent."""
        message = Sent(message_id=f"m{len(self.sent)}", text=text, sent=self.ticks())
        self.sent[message.message_id] = message
        return message

    def acknowledged(self, message: Sent) -> None:
        """The platform said that it has it."""
        if message.acked is None:
            message.acked = self.ticks()

    def finished(self, message: Sent, *, reply: Reply | None = None, failed: str | None = None) -> None:
        """The platform said how it ended. A second word must be the first one's."""
        self.acknowledged(message)
        if message.done is None:
            message.done, message.reply, message.failed = self.ticks(), reply, failed
            self.completions += 1
        assert (message.reply, message.failed) == (reply, failed), f"{self.agent} {message.message_id} was answered differently"

    def reader(self) -> "Reader":
        """A new reader of this agent's events."""
        reader = Reader(self)
        self.readers.append(reader)
        return reader

    def saw(self, event: Event) -> None:
        """An event is named by epoch and number for ever."""
        known = self.named.setdefault((event.epoch, event.seq), event)
        assert known == event, f"{self.agent}: {event.epoch}.{event.seq} names two events: {known} and {event}"

    def excuses(self, message: Sent) -> Counter[str]:
        """How many attempts at a message the faults of its time may have ended, by outcome."""
        return Counter(outcome for fault in self.during(message) for outcome in fault.excuses for _ in range(fault.times))

    def during(self, message: Sent) -> Iterable[Fault]:
        """The faults that may have touched a message."""
        for fault in self.faults:
            if fault.agent not in (None, self.agent) or (message.done is not None and message.done < fault.begun):
                continue
            if message.sent < max(fault.ended or message.sent + 1, self._noticed(fault)):
                yield fault

    def _noticed(self, fault: Fault) -> float:
        """Until when a fault may go unnoticed here: until a message that was sent after it began has ended."""
        ends = [sent.done for sent in self.sent.values() if sent.sent > fault.begun and sent.done is not None]
        return min(ends, default=math.inf)


class Reader:
    """The line as one reader has it, through any number of connections."""

    def __init__(self, ledger: Ledger) -> None:
        self.line: list[Event] = []
        self.truncated = 0
        self._ledger = ledger

    @property
    def cursor(self) -> str:
        """Where it goes on."""
        return str(self.line[-1].cursor) if self.line else "0.0"

    def take(self, frame: Frame | Any) -> None:
        """One frame: numbers follow each other, and what was fsynced is never taken back."""
        if isinstance(frame, Reset):
            raise AssertionError(f"{self._ledger.agent}: events were lost: {frame}")
        if isinstance(frame, Truncate):
            self._truncate(frame)
        if isinstance(frame, Event):
            last = self.line[-1] if self.line else None
            assert frame.seq == (last.seq + 1 if last else 1), f"{self._ledger.agent}: {frame.seq} after {last}"
            assert last is None or frame.epoch >= last.epoch, f"{self._ledger.agent}: epoch {frame.epoch} after {last}"
            self._ledger.saw(frame)
            self.line.append(frame)

    def _truncate(self, frame: Truncate) -> None:
        assert any(fault.loses_events for fault in self._ledger.faults), f"{self._ledger.agent}: {frame} without a power cut"
        dropped = [event for event in self.line if event.seq > frame.after_seq]
        promised = [event for event in dropped if event.event_type in FINAL]
        assert not promised, f"{self._ledger.agent}: {frame} takes back {promised}"
        del self.line[len(self.line) - len(dropped) :]
        self.truncated += len(dropped)

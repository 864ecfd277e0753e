"""What a coordinator asks of an instance's state. All methods are serialised; each is one transaction, all or nothing.

*Durable* methods return after an fsync; the others survive the death of any process, not a power cut, and since everything
lies in one journal, what a durable method wrote after them makes them durable too.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from podium.protocol.api import MessageStatus, StateDocument
from podium.protocol.events import Event
from podium.protocol.ids import Cursor

Outcome = Literal["complete", "stopped", "exception", "exit", "oom", "timeout", "interrupted", "abandoned"]
COUNTED: frozenset[Outcome] = frozenset({"exception", "exit", "oom", "timeout"})
"""The outcomes that count towards `max_attempts`."""


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """One entry of the inbox. `body` and `origin` are the documents it was accepted with."""

    position: int
    message_id: str
    kind: str
    body: dict[str, Any]
    origin: dict[str, Any]
    accepted_at: datetime


class Accepted(NamedTuple):
    """Where an entry stands in the inbox; `duplicate` when its id was there before, with the same body."""

    position: int
    duplicate: bool
    done: bool


class NewEvent(NamedTuple):
    """An event that has no number yet."""

    event_type: str
    content: dict[str, Any]
    message_id: str | None = None
    attempt: int | None = None


class Attempt(msgspec.Struct, kw_only=True, frozen=True):
    """One run of one message, as it was begun. `counted` earlier attempts count towards `max_attempts`."""

    position: int
    message_id: str
    attempt: int
    launch_id: str
    first_seq: int
    started_at: datetime


class Begun(NamedTuple):
    """An entry that was taken; `attempt` and its `stream_start` where it is a message, and what was said to it before."""

    entry: Entry
    attempt: Attempt | None
    events: list[Event]
    said: "Said"


class Taken(NamedTuple):
    """What became of something a person said to a turn, and what that logged; `ended` where it ended the message."""

    disposition: Literal["queued", "injected", "duplicate"]
    message_id: str
    events: Sequence[Event] = ()
    ended: bool = False


class Question(msgspec.Struct, kw_only=True, frozen=True):
    """A question of a running attempt, the `ordinal`th it asks, as it came in frame `n` of the launch."""

    launch_id: str
    n: int
    message_id: str
    attempt: int
    ordinal: int
    kind: str
    content: dict[str, Any]


class KnownQuestion(NamedTuple):
    """A question as it stands: `attempt` is the newest that asked it, as its `ordinal`th."""

    request_id: str
    ordinal: int
    attempt: int
    withdrawn: bool
    answered: bool
    answer: Any
    asked_at: datetime
    closed_at: datetime | None


class Asked(NamedTuple):
    """A question that was put, or whose answer was recorded before, and what that logged."""

    question: KnownQuestion
    events: list[Event]


class Said(NamedTuple):
    """What was said to a turn that runs, in order, and what it asked."""

    entries: list[Entry]
    questions: list[KnownQuestion]


class AttemptCounts(NamedTuple):
    """How the attempts at one message have ended so far."""

    counted: int
    interrupted: int


class Group(msgspec.Struct, kw_only=True):
    """What one or more frames of an agent did: logged together, then acknowledged up to `n`.

    `returned` says that with them the hook returned that the launch was at.
    """

    launch_id: str
    n: int
    events: list[NewEvent] = []
    deltas: list[tuple[str, int, list[dict[str, Any]]]] = []
    returned: bool = False


class TurnEnd(msgspec.Struct, kw_only=True):
    """The joint commit that ends a turn. `position` None for hooks; `events` are those not yet logged, without the last one.

    `revision` is what the agent runs as since this launch began: it makes the turn an upgrade.
    """

    kind: str
    message_id: str
    position: int | None
    attempt: int
    first_seq: int | None
    stop_reason: str
    usage: dict[str, Any]
    workspace_version: int | None
    started_at: datetime
    group: Group
    outcome: Outcome = "complete"
    error: dict[str, Any] | None = None
    revision: "Revision | None" = None


class Committed(NamedTuple):
    """A turn that is done: its number, the events its transaction logged, and the reply."""

    turn: int
    events: list[Event]
    reply: str
    stop_reason: str
    usage: dict[str, Any]


class Hook(msgspec.Struct, kw_only=True, frozen=True):
    """The newest thing a launch was at besides messages: `init`, `idle` or `shutdown`, the `serial`-th of the launch.

    `reason` is that of a shutdown; where that has `returned` the process has only to end.
    """

    kind: str
    serial: int
    message_id: str
    reason: str = ""
    returned: bool = False


class Change(msgspec.Struct, kw_only=True, frozen=True):
    """A file that was put or removed from outside by the entry at `position`, or could not be: `error`.

    `etag` names the new content. One that `changed` nothing makes no turn.
    """

    position: int
    message_id: str
    path: str
    change: Literal["created", "modified", "deleted"]
    changed: bool
    started_at: datetime
    workspace_version: int | None = None
    etag: str = ""
    error: dict[str, Any] | None = None


class EndedTurn(msgspec.Struct, kw_only=True, frozen=True):
    """A turn of whatever kind, as it ended."""

    turn: int
    kind: str
    status: str
    reply: str
    error: dict[str, Any] | None


class Launch(msgspec.Struct, kw_only=True, frozen=True):
    """A start of the agent's process that has not ended, or has left an attempt open.

    `last_n` is the highest frame number whose effect is stored, `hook` what it is at, with whether that has changed the state and
    the first event it has logged, `revision` what the process was started as, `killed` why the platform wanted it to end.
    """

    launch_id: str
    pid: int | None
    start_time: int | None
    uid: int | None
    last_n: int
    hook: Hook | None
    has_deltas: bool
    first_seq: int | None
    revision: "Revision | None"
    killed: str | None
    ended: "Ended | None"


class Revision(msgspec.Struct, kw_only=True, frozen=True):
    """What the agent runs as."""

    deployment_id: str
    bundle_hash: str
    config: dict[str, Any]


class Ended(msgspec.Struct, kw_only=True, frozen=True):
    """How a launch ended, for people."""

    at: datetime
    reason: str
    code: int | None
    signal: int | None
    log: list[str]
    oom: bool = False


class Overview(msgspec.Struct, kw_only=True, frozen=True):
    """The instance at a glance."""

    instance_id: str
    tenant_id: str
    life: int
    created_at: datetime
    status: str
    reason: str | None
    head: Cursor
    first_seq: int
    turn: int
    queued: int
    revision: Revision | None
    last_exit: Ended | None
    startup_ms: dict[str, float]


class StateStore(Protocol):
    """One instance's `state.db`, open."""

    async def overview(self) -> Overview:
        """The instance at a glance."""

    async def set_status(self, status: str, reason: str | None) -> None:
        """Store a status that outlives processes."""

    async def revise(self, revision: Revision) -> None:
        """Record what the agent runs as from now on; nothing happens where it is the same."""

    async def accept(self, message_id: str, kind: str, body: dict[str, Any], origin: dict[str, Any], limit: int) -> Accepted:
        """Durable. Put an entry into the inbox; IdempotencyMismatch for a known id with another body, TooMany beyond `limit`."""

    async def begin_next(self, launch_id: str, workspace_version: int | None) -> Begun | None:
        """Take the oldest queued entry. A run of a message is numbered and recorded before it is handed over, and its
        `stream_start` logged; an entry that needs no turn is done with this."""

    async def steer(self, receipt_id: str, content: Any, origin: dict[str, Any], limit: int) -> Taken:
        """Durable. Bind guidance to the message that runs or is next, at most `limit` to one; NoTurn, TooMany,
        IdempotencyMismatch."""

    async def stop_turn(self, receipt_id: str, message_id: str | None, origin: dict[str, Any]) -> Taken:
        """Durable. Bind a stop to the message that runs or is next, or to the one named: it is not tried again; one that does not
        run ends with this. NoTurn, NotFound, IdempotencyMismatch."""

    async def ask(self, question: Question) -> Asked:
        """Log a question; where an earlier attempt had an answer to the same in the same place, that is the answer."""

    async def withdraw(self, question: Question) -> list[Event]:
        """Close a question that nobody has answered."""

    async def answer(self, receipt_id: str, request_id: str, content: Any, origin: dict[str, Any]) -> Taken:
        """Durable. Record an answer; NotFound, AlreadyAnswered, QuestionClosed, InvalidRequest, IdempotencyMismatch."""

    async def said(self, position: int) -> Said:
        """What was said to the turn of the message at `position`, and what it asked."""

    async def attempt_counts(self, position: int) -> AttemptCounts:
        """How the attempts at an entry have ended so far."""

    async def open_attempts(self) -> list[Attempt]:
        """Attempts that were begun and have no outcome."""

    async def entry(self, position: int) -> Entry:
        """The entry at a position that was given out."""

    async def append(self, group: Group) -> list[Event]:
        """Log a group of events and deltas and the frame number they end at; return the events with their numbers."""

    async def prune_events(self, keep: int) -> None:
        """Drop some of the oldest events where there are many more than `keep`; none of an attempt that is open."""

    async def end_turn(self, end: TurnEnd) -> Committed:
        """Durable. The transaction that is the turn."""

    async def fail_attempt(self, attempt: Attempt, outcome: Outcome, error: dict[str, Any], *, will_retry: bool) -> list[Event]:
        """Durable. Close an attempt without its effects: `attempt_failed`, and where it will not be retried the `error` that ends
        the turn; its deltas are dropped. One that was to be stopped is abandoned and not retried."""

    async def fail_upgrade(self, upgrade_id: str, deployment_id: str, reason: str, started_at: datetime) -> list[Event]:
        """Durable. Record that a change of the deployment has failed, as a turn; nothing happens where that is known."""

    async def next_change(self) -> Entry | None:
        """The oldest queued entry, if it is a file to be put or removed."""

    async def changes(self) -> list[Entry]:
        """All queued entries that are files to be put or removed, in order."""

    async def end_change(self, change: Change) -> list[Event]:
        """Durable. Be done with the entry of a file that was put or removed; a turn where that changed something or failed."""

    async def turn(self, message_id: str) -> EndedTurn | None:
        """The turn of that message, hook, upgrade or change, once it has ended."""

    async def drop_pending(self, message_id: str | None) -> None:
        """Drop the deltas of a hook that did not end; of everything where no message is named."""

    async def park(self, reason: str) -> bool:
        """Durable. Become `hibernated` if the inbox is empty; else return False."""

    async def begin_launch(self, launch_id: str, uid: int | None) -> None:
        """Record a start before it happens."""

    async def launched(self, launch_id: str, pid: int, start_time: int) -> None:
        """Record the process of a launch."""

    async def started(self, launch_id: str, n: int, startup_ms: dict[str, float]) -> None:
        """Record that a launch is ready, and how long each phase took."""

    async def begin_hook(self, launch_id: str, hook: Hook) -> None:
        """Record that a launch is at a hook, before it is asked to."""

    async def killing(self, launch_id: str, reason: str) -> None:
        """Record that the platform ends a process, before it does; the first reason counts."""

    async def end_launch(self, launch_id: str, ended: Ended) -> None:
        """Record how a launch ended."""

    async def open_launches(self) -> list[Launch]:
        """Launches without an end, or with an open attempt, oldest first."""

    async def left_for(self) -> str | None:
        """Why the newest process was asked to shut down, where it has ended after that."""

    async def events_after(self, seq: int, limit: int, message_id: str | None = None) -> list[Event]:
        """Up to `limit` events above `seq`, in order; fewer where they are large, none only where there is none."""

    async def epochs(self) -> list[Cursor]:
        """Every epoch with its base: (epoch, base_seq), oldest first."""

    async def begin_epoch(self, epoch: int, reason: str) -> None:
        """Durable. Begin a new line after the last event logged."""

    async def message(self, message_id: str) -> MessageStatus | None:
        """One message with its reply once there is one."""

    async def messages(self, after: int, limit: int) -> tuple[list[MessageStatus], int | None]:
        """The history above inbox position `after`, oldest first, and where the next page begins."""

    async def first_seq(self, message_id: str) -> int | None:
        """The first event of a message's first attempt; None where it has not begun."""

    async def document(self) -> StateDocument:
        """The state document as of the newest turn."""

    async def close(self, *, clean: bool) -> None:
        """Close the file; `clean` says that nothing unsynced is left, and makes sure of it."""

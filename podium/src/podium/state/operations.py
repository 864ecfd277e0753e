"""Every change of an instance's state, one struct each.

They are what the journal stores: a field is added at the end, with a default; a tag or a meaning never changes.

`now` is microseconds since 1970.
"""

from datetime import datetime
from typing import Any

from podium.protocol.events import Event
from podium.state import attempts, eventlog, inbox, instance, launches, questions, steering, turns
from podium.state.operation import Operation, Tables
from podium.state.port import (
    Accepted,
    Asked,
    Attempt,
    Begun,
    Change,
    Committed,
    Ended,
    Group,
    Hook,
    Outcome,
    Question,
    Revision,
    Taken,
    TurnEnd,
)


class WriteUnder(Operation, frozen=True, array_like=True, tag="write_under"):
    """Say under which boot the file is written."""

    durable = True

    boot_id: str

    def apply(self, tables: Tables) -> None:
        instance.write_under(tables.db, self.boot_id)


class SetStatus(Operation, frozen=True, array_like=True, tag="set_status"):
    """Store a status that outlives processes."""

    status: str
    reason: str | None
    now: int

    def apply(self, tables: Tables) -> None:
        instance.set_status(tables.db, self.status, self.reason, self.now)


class Revise(Operation, frozen=True, array_like=True, tag="revise"):
    """Record what the agent runs as from now on."""

    revision: Revision
    now: int

    def apply(self, tables: Tables) -> None:
        instance.revise(tables.db, self.revision, self.now)


class Accept(Operation, frozen=True, array_like=True, tag="accept"):
    """Put an entry into the inbox, or find the one of that id."""

    durable = True

    message_id: str
    kind: str
    body: dict[str, Any]
    origin: dict[str, Any]
    limit: int
    now: int

    def apply(self, tables: Tables) -> Accepted:
        return inbox.accept(tables.db, self.message_id, self.kind, self.body, self.origin, self.limit, self.now)


class BeginNext(Operation, frozen=True, array_like=True, tag="begin_next"):
    """Take the oldest queued entry; a message gets an attempt."""

    launch_id: str
    workspace_version: int | None
    now: int

    def apply(self, tables: Tables) -> Begun | None:
        return attempts.begin_next(tables, self.launch_id, self.workspace_version, self.now)


class Append(Operation, frozen=True, array_like=True, tag="append"):
    """Log what a group of an agent's frames did."""

    group: Group
    now: int

    def apply(self, tables: Tables) -> list[Event]:
        return turns.append_group(tables, self.group, self.now)


class PruneEvents(Operation, frozen=True, array_like=True, tag="prune_events"):
    """Drop events that are older than those to be kept."""

    keep: int

    def apply(self, tables: Tables) -> None:
        eventlog.prune(tables, self.keep)


class EndTurn(Operation, frozen=True, array_like=True, tag="end_turn"):
    """End a turn: the joint commit."""

    durable = True

    turn: TurnEnd
    now: int

    def apply(self, tables: Tables) -> Committed:
        return turns.end(tables, self.turn, self.now)


class FailAttempt(Operation, frozen=True, array_like=True, tag="fail_attempt"):
    """Close an attempt without its effects."""

    durable = True

    attempt: Attempt
    outcome: Outcome
    error: dict[str, Any]
    will_retry: bool
    now: int

    def apply(self, tables: Tables) -> list[Event]:
        return turns.fail_attempt(tables, self.attempt, self.outcome, self.error, will_retry=self.will_retry, now=self.now)


class DropPending(Operation, frozen=True, array_like=True, tag="drop_pending"):
    """Drop the deltas of a hook that did not end."""

    message_id: str | None

    def apply(self, tables: Tables) -> None:
        turns.drop_pending(tables.db, self.message_id)


class Park(Operation, frozen=True, array_like=True, tag="park"):
    """Fall asleep if the inbox is empty."""

    durable = True

    reason: str
    now: int

    def apply(self, tables: Tables) -> bool:
        return instance.park(tables.db, self.reason, self.now)


class BeginLaunch(Operation, frozen=True, array_like=True, tag="begin_launch"):
    """Record a start before it happens."""

    launch_id: str
    uid: int | None
    now: int

    def apply(self, tables: Tables) -> None:
        launches.begin(tables.db, self.launch_id, self.uid, self.now)


class Launched(Operation, frozen=True, array_like=True, tag="launched"):
    """Record the process of a launch."""

    launch_id: str
    pid: int
    start_time: int

    def apply(self, tables: Tables) -> None:
        launches.running(tables.db, self.launch_id, self.pid, self.start_time)


class Started(Operation, frozen=True, array_like=True, tag="started"):
    """Record that a launch is ready."""

    launch_id: str
    n: int
    startup_ms: dict[str, float]

    def apply(self, tables: Tables) -> None:
        launches.ready(tables.db, self.launch_id, self.n, self.startup_ms)


class BeginHook(Operation, frozen=True, array_like=True, tag="begin_hook"):
    """`begin_hook` of the port."""

    launch_id: str
    hook: Hook

    def apply(self, tables: Tables) -> None:
        launches.begin_hook(tables.db, self.launch_id, self.hook)


class Killing(Operation, frozen=True, array_like=True, tag="killing"):
    """`killing` of the port."""

    launch_id: str
    reason: str

    def apply(self, tables: Tables) -> None:
        launches.killing(tables.db, self.launch_id, self.reason)


class EndLaunch(Operation, frozen=True, array_like=True, tag="end_launch"):
    """Record how a launch ended."""

    launch_id: str
    ended: Ended

    def apply(self, tables: Tables) -> None:
        launches.end(tables.db, self.launch_id, self.ended)


class BeginEpoch(Operation, frozen=True, array_like=True, tag="begin_epoch"):
    """Begin a new line of events."""

    durable = True

    epoch: int
    reason: str
    now: int

    def apply(self, tables: Tables) -> None:
        eventlog.begin_epoch(tables.db, self.epoch, self.reason, self.now)
        tables.head = eventlog.head(tables.db)


class Steer(Operation, frozen=True, array_like=True, tag="steer"):
    """Bind guidance to the turn of a message."""

    durable = True

    receipt_id: str
    content: Any
    origin: dict[str, Any]
    limit: int
    now: int

    def apply(self, tables: Tables) -> Taken:
        return steering.steer(tables, self.receipt_id, self.content, self.origin, self.limit, self.now)


class StopTurn(Operation, frozen=True, array_like=True, tag="stop_turn"):
    """Bind a stop to the turn of a message, or end a message that does not run."""

    durable = True

    receipt_id: str
    message_id: str | None
    origin: dict[str, Any]
    now: int

    def apply(self, tables: Tables) -> Taken:
        return steering.stop(tables, self.receipt_id, self.message_id, self.origin, self.now)


class Ask(Operation, frozen=True, array_like=True, tag="ask"):
    """Log a question to people."""

    question: Question
    now: int

    def apply(self, tables: Tables) -> Asked:
        return questions.ask(tables, self.question, self.now)


class Withdraw(Operation, frozen=True, array_like=True, tag="withdraw"):
    """Close a question nobody has answered."""

    question: Question
    now: int

    def apply(self, tables: Tables) -> list[Event]:
        return questions.withdraw(tables, self.question, self.now)


class Answer(Operation, frozen=True, array_like=True, tag="answer"):
    """Record what a person said to a question."""

    durable = True

    receipt_id: str
    request_id: str
    content: Any
    origin: dict[str, Any]
    now: int

    def apply(self, tables: Tables) -> Taken:
        return questions.answer(tables, self.receipt_id, self.request_id, self.content, self.origin, self.now)


class FailUpgrade(Operation, frozen=True, array_like=True, tag="fail_upgrade"):
    """Record that a change of the deployment has failed."""

    durable = True

    upgrade_id: str
    deployment_id: str
    reason: str
    started_at: datetime
    now: int

    def apply(self, tables: Tables) -> list[Event]:
        return turns.fail_upgrade(tables, self.upgrade_id, self.deployment_id, self.reason, self.started_at, self.now)


class EndChange(Operation, frozen=True, array_like=True, tag="end_change"):
    """Be done with a file that was put or removed from outside."""

    durable = True

    change: Change
    now: int

    def apply(self, tables: Tables) -> list[Event]:
        return turns.end_change(tables, self.change, self.now)


OPERATIONS = (
    WriteUnder
    | SetStatus
    | Revise
    | Accept
    | BeginNext
    | Append
    | PruneEvents
    | EndTurn
    | FailAttempt
    | DropPending
    | Park
    | BeginLaunch
    | Launched
    | Started
    | BeginHook
    | Killing
    | EndLaunch
    | BeginEpoch
    | Steer
    | StopTurn
    | Ask
    | Withdraw
    | Answer
    | FailUpgrade
    | EndChange
)
"""What the journal may hold."""

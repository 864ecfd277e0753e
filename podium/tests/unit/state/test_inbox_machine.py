"""The state against a model: any order of accepts, attempts, failures, commits, epochs, restarts and kills keeps its promises."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from podium.protocol.errors import IdempotencyMismatch, NotFound, NoTurn
from podium.protocol.events import Event
from podium.protocol.ids import Cursor
from podium.state.port import Attempt, Group, NewEvent, TurnEnd
from tests.support.states import make_state

IDS = st.sampled_from([f"m{n}" for n in range(8)])


class InboxMachine(RuleBasedStateMachine):
    """The model: bodies accepted in order, which are done, the running attempt, what was said to each, the value of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.order: list[str] = []
        self.bodies: dict[str, str] = {}
        self.done: list[str] = []
        self.total = 0
        self.steers: dict[str, list[str]] = {}
        self.stopping = False
        self.running: Attempt | None = None
        self.line: list[Event] = []
        self.epochs = [Cursor(1, 0)]
        self.lives = 0

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    @initialize()
    def open(self) -> None:
        self.state = self.run(make_state(self.folder / "state.db"))
        self.run(self.state.begin_launch("l", None))

    @rule(message_id=IDS, words=st.sampled_from(["a", "b"]))
    def accept(self, message_id: str, words: str) -> None:
        body = {"text": words, "role": "user", "attachments": []}
        known = self.bodies.get(message_id)
        try:
            accepted = self.run(self.state.accept(message_id, "message", body, {}, 100))
        except IdempotencyMismatch:
            assert known not in (None, words)
            return
        assert known in (None, words)
        assert accepted.duplicate == (known is not None)
        assert accepted.done == (message_id in self.done)
        if known is None:
            self.order.append(message_id)
            self.bodies[message_id] = words

    @property
    def current(self) -> str | None:
        """The message that runs or is next."""
        return next((message_id for message_id in self.order if message_id not in self.done), None)

    @precondition(lambda self: self.running is None and self.current)
    @rule()
    def begin(self) -> None:
        begun = self.run(self.state.begin_next("l", None))
        assert begun.entry.message_id == self.current
        assert [entry.message_id for entry in begun.said.entries] == self.steers.get(begun.entry.message_id, [])
        self.running = begun.attempt
        self.logged(begun.events)

    def logged(self, events: list[Event]) -> None:
        """Events have been given out: they are the end of the line now."""
        tail = self.run(self.state.events_after(self.line[-1].seq if self.line else 0, 1000))
        assert tail[-len(events) :] == events
        self.line += tail

    @rule()
    def park(self) -> None:
        """It sleeps only where nothing waits."""
        idle = self.current is None
        assert self.run(self.state.park("idle")) == idle
        assert (self.run(self.state.overview()).status == "hibernated") == idle
        self.run(self.state.set_status("initializing", None))

    @rule()
    def raise_epoch(self) -> None:
        """A new line begins above the last number given out."""
        self.epochs.append(Cursor(self.epochs[-1].epoch + 1, len(self.line)))
        self.run(self.state.begin_epoch(self.epochs[-1].epoch, "boot"))

    @rule(n=st.integers(0, 20))
    def steer(self, n: int) -> None:
        receipt_id = f"s{n}"
        known = any(receipt_id in steers for steers in self.steers.values())
        try:
            taken = self.run(self.state.steer(receipt_id, n, {}, 100))
        except NoTurn:
            assert not known
            assert self.current is None or self.stopping
            return
        assert taken.disposition == ("duplicate" if known else "injected" if self.running else "queued")
        if not known:
            assert self.current
            self.steers.setdefault(self.current, []).append(receipt_id)

    @rule(n=st.integers(0, 1000), named=IDS)
    def stop(self, n: int, named: str) -> None:
        """One that waits ends with it; one that runs is not tried again."""
        runs = self.running is not None and self.running.message_id == named
        try:
            taken = self.run(self.state.stop_turn(f"x{named}{n}", named, {}))
        except (NoTurn, NotFound):
            assert named not in self.order or named in self.done
            return
        if taken.ended:
            assert not runs
            self.done.append(named)
        elif taken.disposition == "injected":
            assert runs
            self.stopping = True

    @precondition(lambda self: self.running)
    @rule()
    def output(self) -> None:
        assert self.running
        event = NewEvent("update", {"text": "x"}, self.running.message_id, self.running.attempt)
        deltas = [(self.running.message_id, self.running.attempt, [{"op": "replace", "path": "", "value": {"total": -1}}])]
        self.logged(self.run(self.state.append(Group(launch_id="l", n=1, events=[event], deltas=deltas))))

    @precondition(lambda self: self.running)
    @rule()
    def commit(self) -> None:
        attempt = self.running
        assert attempt
        change = {"op": "replace", "path": "", "value": {"total": self.total + 1}}
        group = Group(launch_id="l", n=2, deltas=[(attempt.message_id, attempt.attempt, [change])])
        end = TurnEnd(
            kind="message", message_id=attempt.message_id, position=attempt.position, attempt=attempt.attempt,
            first_seq=attempt.first_seq, stop_reason="end_turn", usage={}, workspace_version=None,
            started_at=attempt.started_at, group=group,
        )  # fmt: skip
        committed = self.run(self.state.end_turn(end))
        self.logged(committed.events)
        self.total += 1
        self.done.append(attempt.message_id)
        assert committed.turn == len(self.done)
        self.running, self.stopping = None, False

    @precondition(lambda self: self.running)
    @rule(will_retry=st.booleans())
    def fail(self, will_retry: bool) -> None:
        assert self.running
        error = {"code": "x", "message": ""}
        self.logged(self.run(self.state.fail_attempt(self.running, "exit", error, will_retry=will_retry)))
        if not will_retry or self.stopping:
            self.done.append(self.running.message_id)
        self.running, self.stopping = None, False

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.run(self.state.close(clean=clean))
        self.reopen()

    @rule()
    def kill(self) -> None:
        """The process dies here: what it had returned is in the files as they lie."""
        self.lives += 1
        left = self.folder.with_name(f"{self.folder.name}.{self.lives}")
        shutil.copytree(self.folder, left)
        self.run(self.state.close(clean=False))
        shutil.rmtree(self.folder)
        left.rename(self.folder)
        self.reopen()

    def reopen(self) -> None:
        self.state = self.run(make_state(self.folder / "state.db"))
        opened = self.run(self.state.open_attempts())
        assert [a.message_id for a in opened] == ([self.running.message_id] if self.running else [])

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "state"):
            return
        document = self.run(self.state.document())
        assert document.state.get("total", 0) == self.total
        assert document.checkpoint == len(self.done)
        events = self.run(self.state.events_after(0, 10_000))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert events[: len(self.line)] == self.line
        self.line = events
        assert self.run(self.state.epochs()) == self.epochs
        assert self.run(self.state.overview()).queued == len(self.order) - len(self.done)

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.run(self.state.close(clean=False))
        self.loop.close()
        shutil.rmtree(self.folder)


InboxMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestInbox = InboxMachine.TestCase

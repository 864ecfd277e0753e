"""The inbox against a model: any order of accepts, attempts, failures, commits and restarts keeps its promises."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from podium.protocol.errors import IdempotencyMismatch
from podium.state.port import Attempt, Group, NewEvent, TurnEnd
from tests.support.states import make_state

IDS = st.sampled_from([f"m{n}" for n in range(8)])


class InboxMachine(RuleBasedStateMachine):
    """The model: bodies accepted in order, how many are done, the running attempt, the value the state must have."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.order: list[str] = []
        self.bodies: dict[str, str] = {}
        self.done: list[str] = []
        self.total = 0
        self.running: Attempt | None = None

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

    @precondition(lambda self: self.running is None and len(self.done) < len(self.order))
    @rule()
    def begin(self) -> None:
        begun = self.run(self.state.begin_next("l", None))
        assert begun.entry.message_id == self.order[len(self.done)]
        self.running = begun.attempt

    @precondition(lambda self: self.running)
    @rule()
    def output(self) -> None:
        assert self.running
        event = NewEvent("update", {"text": "x"}, self.running.message_id, self.running.attempt)
        deltas = [(self.running.message_id, self.running.attempt, [{"op": "replace", "path": "", "value": {"total": -1}}])]
        self.run(self.state.append(Group(launch_id="l", n=1, events=[event], deltas=deltas)))

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
        self.total += 1
        self.done.append(attempt.message_id)
        assert committed.turn == len(self.done)
        self.running = None

    @precondition(lambda self: self.running)
    @rule(will_retry=st.booleans())
    def fail(self, will_retry: bool) -> None:
        assert self.running
        self.run(self.state.fail_attempt(self.running, "exit", {"code": "x", "message": ""}, will_retry=will_retry))
        if not will_retry:
            self.done.append(self.running.message_id)
        self.running = None

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.run(self.state.close(clean=clean))
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
        seqs = [event.seq for event in self.run(self.state.events_after(0, 10_000))]
        assert seqs == list(range(1, len(seqs) + 1))
        assert self.run(self.state.overview()).queued == len(self.order) - len(self.done)

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.run(self.state.close(clean=False))
        self.loop.close()
        shutil.rmtree(self.folder)


InboxMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestInbox = InboxMachine.TestCase

"""What must be true of an agent whatever was done to the platform: its log, history, state and SQL against the clients' ledger.

Pure: it gets values and raises AssertionError. `tests/crash/test_judge.py` shows that it finds what it is there to find.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from podium.protocol.api import MessageStatus
from podium.protocol.events import Event
from podium.state.port import COUNTED
from tests.support.ledger import Ledger, Sent

MAX_ATTEMPTS = 3
MAX_INTERRUPTED = 10
IN_THE_WINDOW = frozenset({"exit", "interrupted", "oom", "timeout"})
"""Outcomes of attempts whose process died, maybe between the commit of its SQL and its turn's (section 7, plain directories)."""


class Found(msgspec.Struct, kw_only=True):
    """An agent as the platform shows it in the end. `rows` are (message id, attempt) in its own SQL."""

    line: Sequence[Event]
    history: Sequence[MessageStatus]
    state: dict[str, Any]
    rows: Sequence[tuple[str, int]]


class _Attempt(msgspec.Struct):
    message_id: str
    number: int
    events: list[Event]

    @property
    def failed(self) -> Event | None:
        return next((event for event in self.events if event.event_type == "attempt_failed"), None)

    @property
    def text(self) -> str:
        parts: dict[Any, list[str]] = {}
        for event in self.events:
            if event.event_type == "update":
                parts.setdefault(event.content.get("part"), []).append(event.content["text"])
        return "\n".join("".join(pieces) for pieces in parts.values())


def answer(text: str, attempt: int) -> str | None:
    """What the probe says to a message in this attempt; None where it does not come to an end."""
    verb, _, rest = text.partition(" ")
    match verb:
        case "echo":
            return rest
        case "tokens":
            return "".join(f"{n} " for n in range(int(rest.split()[0]))) + "\nend"
        case "fail" | "die":
            return f"attempt {attempt}" if attempt > int(rest.split()[0]) else None
        case "kill":
            return "survived" if attempt > 1 else None
    raise AssertionError(text)


def own_outcome(text: str, attempt: int) -> str | None:
    """How the probe itself ends this attempt, if it does."""
    if answer(text, attempt) is not None:
        return None
    return "exception" if text.startswith("fail") else "exit"


def judge(ledger: Ledger, found: Found) -> None:
    """Everything at once; AssertionError says what is wrong and with which message."""
    name = ledger.agent
    assert [event.seq for event in found.line] == list(range(1, len(found.line) + 1)), f"{name}: a gap or a double in the log"
    for event in found.line:
        ledger.saw(event)
    assert set(ledger.sent) == {status.message_id for status in found.history}, f"{name}: a message is lost or made up"
    assert len(found.history) == len(ledger.sent), f"{name}: a message stands twice in the history"
    attempts = _attempts(found.line)
    order = [status.message_id for status in found.history]
    assert list(dict.fromkeys(a.message_id for a in attempts)) == order, f"{name}: turns did not run in the inbox's order"
    _judge_order(ledger, order)
    for status in found.history:
        _judge_message(ledger, status, [a for a in attempts if a.message_id == status.message_id])
    _judge_state(name, found, [ledger.sent[status.message_id] for status in found.history if status.status == "complete"])
    _judge_rows(ledger, found, attempts)
    for reader in ledger.readers:
        assert reader.line == list(found.line), f"{name}: a reader saw another line than the log"


def _attempts(line: Sequence[Event]) -> list[_Attempt]:
    """The log cut into attempts: nothing of a message lies outside of one, and they do not mix."""
    attempts: list[_Attempt] = []
    running: _Attempt | None = None
    checkpoint = 0
    for event in line:
        if event.event_type == "complete":
            assert event.content["checkpoint"] > checkpoint, f"checkpoints do not grow: {event}"
            checkpoint = event.content["checkpoint"]
        if ":" in str(event.message_id) or "." in str(event.message_id):
            continue  # a hook's
        if event.event_type == "stream_start":
            assert running is None, f"{event} while {running and running.message_id} runs"
            running = _Attempt(event.message_id or "", event.attempt or 0, [])
            attempts.append(running)
        if event.event_type == "error":  # after the last attempt_failed
            assert running is None and attempts and attempts[-1].message_id == event.message_id, f"{event} in between"
            attempts[-1].events.append(event)
            continue
        assert running and (running.message_id, running.number) == (event.message_id, event.attempt), (
            f"{event} out of its attempt"
        )
        running.events.append(event)
        if event.event_type in ("complete", "attempt_failed"):
            running = None
    assert running is None, f"{running} never ended"
    return attempts


def _judge_order(ledger: Ledger, order: Sequence[str]) -> None:
    """What was acknowledged before something else was sent comes before it."""
    latest_sent = 0
    for message in (ledger.sent[message_id] for message_id in order):
        assert message.acked is not None, f"{ledger.agent} {message.message_id} was never answered"
        assert message.acked > latest_sent, f"{ledger.agent} {message.message_id} is in the inbox behind one sent later"
        latest_sent = max(latest_sent, message.sent)


def _judge_message(ledger: Ledger, status: MessageStatus, attempts: Sequence[_Attempt]) -> None:
    sent = ledger.sent[status.message_id]
    name = f"{ledger.agent} {sent.message_id} ({sent.text!r})"
    assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1)), f"{name}: attempts are not numbered"
    assert all(attempt.failed for attempt in attempts[:-1]), f"{name} ran again without attempt_failed"
    for attempt in attempts:
        if attempt.failed:
            assert attempt.failed.content["first_seq"] == attempt.events[0].seq, f"{name}: first_seq of {attempt.failed}"
    outcomes = [attempt.failed.content["outcome"] for attempt in attempts if attempt.failed]
    _judge_outcomes(ledger, sent, name, outcomes)
    given_up = sum(o in COUNTED for o in outcomes) >= MAX_ATTEMPTS or outcomes.count("interrupted") >= MAX_INTERRUPTED
    ends = [event.event_type for event in attempts[-1].events if event.event_type in ("complete", "error")]
    assert ends == (["error"] if given_up else ["complete"]), f"{name} ended as {ends} after {outcomes}"
    assert status.status == ("failed" if given_up else "complete"), f"{name} is {status.status}"
    if given_up:
        assert sent.failed is not None and sent.reply is None, f"{name} was answered, but failed"
        return
    expected = answer(sent.text, len(attempts))
    assert attempts[-1].text == expected, f"{name}: the log says {attempts[-1].text!r}"
    assert status.reply and status.reply.text == expected, f"{name}: the history says {status.reply}"
    assert sent.reply == status.reply, f"{name}: the client was told {sent.reply}"
    assert status.reply.checkpoint == attempts[-1].events[-1].content["checkpoint"], f"{name}: another checkpoint"


def _judge_outcomes(ledger: Ledger, sent: Sent, name: str, outcomes: Sequence[str]) -> None:
    """No attempt fails without a reason: the probe's own, or a fault of that time."""
    faults = [fault.kind for fault in ledger.during(sent)]
    # What was over when the coordinator died and had no outcome yet is interrupted; an unread last frame leaves the exit.
    unseen = {"interrupted", "exit"} if any("coordinator" in kind for kind in faults) else set()
    foreign = [
        outcome
        for number, outcome in enumerate(outcomes, 1)
        if (own := own_outcome(sent.text, number)) is None or outcome not in {own, *unseen}
    ]
    unexplained = Counter(foreign) - ledger.excuses(sent)
    assert not unexplained, f"{name}: {dict(unexplained)} without a reason; faults: {faults}"


def _judge_state(name: str, found: Found, complete: Sequence[Sent]) -> None:
    words = [message.text.partition(" ")[2] for message in complete]
    assert found.state.get("words", []) == words, f"{name}: the state has {found.state.get('words')}, not {words}"
    assert found.state.get("count", 0) == len(words), f"{name}: the state counts {found.state.get('count')}"
    slept = sum(event.event_type == "complete" and str(event.message_id).startswith("shutdown.") for event in found.line)
    assert found.state.get("slept", 0) == slept, f"{name}: the state slept {found.state.get('slept')} times, the log {slept}"


def _judge_rows(ledger: Ledger, found: Found, attempts: Sequence[_Attempt]) -> None:
    """Each completed attempt has its row, once; others none, but where the process died they may have."""
    rows = Counter(found.rows)
    for attempt in attempts:
        key = (attempt.message_id, attempt.number)
        outcome = attempt.failed.content["outcome"] if attempt.failed else None
        cut = any(fault.loses_events for fault in ledger.during(ledger.sent[attempt.message_id]))
        most = 1 + cut if outcome is None or outcome in IN_THE_WINDOW else 0
        least = 1 if outcome is None else 0
        number = rows.pop(key, 0)
        assert least <= number <= most, f"{ledger.agent} {key}: {number} rows of an attempt that is {outcome or 'complete'}"
    leftover = {key for key in rows if not any(f.loses_events for f in ledger.during(ledger.sent[key[0]]))}
    assert not leftover, f"{ledger.agent}: rows of attempts that never were: {leftover}"

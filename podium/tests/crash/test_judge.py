"""The oracle finds what it is there to find: each kind of damage to a good run is named."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from podium.protocol.api import MessageStatus, Reply
from podium.protocol.events import Event, Reset, Truncate
from tests.support.judge import Found, judge
from tests.support.ledger import Fault, Ledger, Ticks

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(seq: int, event_type: str, message_id: str, attempt: int = 1, epoch: int = 1, **content: Any) -> Event:
    return Event(
        epoch=epoch, seq=seq, event_type=event_type, message_id=message_id, attempt=attempt, ts=NOW, content=content
    )  # fmt: skip


def good() -> tuple[Ledger, Found]:
    """Two messages; the first one's first attempt died with its process."""
    ledger = Ledger("a", Ticks())
    reader = ledger.reader()
    line = [
        event(1, "stream_start", "m0"),
        event(2, "update", "m0", text="half", part=0),
        event(3, "attempt_failed", "m0", first_seq=1, outcome="exit", will_retry=True),
        event(4, "stream_start", "m0", 2),
        event(5, "update", "m0", 2, text="w0", part=0),
        event(6, "complete", "m0", 2, checkpoint=1),
        event(7, "stream_start", "m1"),
        event(8, "update", "m1", text="w1", part=0),
        event(9, "complete", "m1", checkpoint=2),
    ]
    history = []
    for n in range(2):
        reply = Reply(message_id=f"m{n}", text=f"w{n}", stop_reason="end_turn", usage={}, checkpoint=n + 1)
        message = ledger.begin(f"echo w{n}")
        if n == 0:
            ledger.faults.append(Fault(kind="kill agent", excuses=frozenset({"exit"}), begun=ledger.ticks()))
        ledger.finished(message, reply=reply)
        if n == 0:
            ledger.faults[0].ended = ledger.ticks()
        history.append(
            MessageStatus(message_id=f"m{n}", status="complete", role="user", text=f"echo w{n}", accepted_at=NOW, reply=reply)
        )
    for each in line:
        reader.take(each)
    state = {"words": ["w0", "w1"], "count": 2, "slept": 0}
    return ledger, Found(line=line, history=history, state=state, rows=[("m0", 2), ("m1", 1)])


def test_a_good_run_is_good() -> None:
    ledger, found = good()
    judge(ledger, found)
    judge(ledger, msgspec.structs.replace(found, rows=[("m0", 1), *found.rows]))  # the window of plain directories


DAMAGES: dict[str, Callable[[Ledger, Found], Any]] = {
    "a gap": lambda ledger, found: found.line.pop(4),
    "is lost": lambda ledger, found: found.history.pop(),
    "order": lambda ledger, found: found.history.reverse(),
    "behind one sent later": lambda ledger, found: setattr(ledger.sent["m0"], "sent", 99),
    "the log says": lambda ledger, found: (ledger.named.clear(), found.line.__setitem__(4, event(5, "usage", "m0", 2))),
    "names two events": lambda ledger, found: found.line.__setitem__(4, event(5, "update", "m0", 2, text="x")),
    "without a reason": lambda ledger, found: ledger.faults.clear(),
    "the client was told": lambda ledger, found: setattr(
        ledger.sent["m1"], "reply", msgspec.structs.replace(found.history[1].reply, text="other")
    ),
    "the state has": lambda ledger, found: found.state.__setitem__("words", ["w0"]),
    "the state counts": lambda ledger, found: found.state.__setitem__("count", 3),
    "0 rows": lambda ledger, found: found.rows.pop(),
    "2 rows": lambda ledger, found: found.rows.append(("m1", 1)),
    "never were": lambda ledger, found: found.rows.append(("m1", 2)),
    "another line": lambda ledger, found: ledger.readers[0].line.pop(),
    "out of its attempt": lambda ledger, found: (ledger.named.clear(), found.line.__setitem__(2, event(3, "update", "m1"))),
    "never ended": lambda ledger, found: (found.line.pop(), ledger.readers[0].line.pop()),
    "do not grow": lambda ledger, found: found.line[5].content.__setitem__("checkpoint", 7),
}  # fmt: skip


@pytest.mark.parametrize("said", DAMAGES)
def test_damage_is_found(said: str) -> None:
    ledger, found = good()
    DAMAGES[said](ledger, found)
    with pytest.raises(AssertionError, match=said if said != "out of its attempt" else "runs|out of its attempt"):
        judge(ledger, found)


def test_readers_find_gaps_resets_and_broken_promises() -> None:
    ledger, found = good()
    reader = ledger.readers[0]
    for frame in (found.line[0], Reset(first_seq=5), Truncate(epoch=2, after_seq=8)):
        with pytest.raises(AssertionError):
            reader.take(frame)
    ledger.faults.append(Fault(kind="cut power", excuses=frozenset(), begun=1, loses_events=True))
    with pytest.raises(AssertionError, match="takes back"):
        reader.take(Truncate(epoch=2, after_seq=8))
    ledger.finished(ledger.sent["m0"], reply=ledger.sent["m0"].reply)
    with pytest.raises(AssertionError, match="answered differently"):
        ledger.finished(ledger.sent["m0"], failed="turn_failed")

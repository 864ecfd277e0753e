"""What every adapter of the state port must keep."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from podium.protocol.delta import DeltaError
from podium.protocol.errors import IdempotencyMismatch, TooMany
from podium.state.port import Attempt, Change, Ended, Group, Hook, NewEvent, Revision, StateStore, TurnEnd
from tests.support.states import START, make_state

BODY = {"text": "hello", "role": "user", "attachments": []}
ORIGIN = {"tenant_id": "platform"}


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateStore]:
    opened = await make_state(tmp_path / "state.db")
    yield opened
    await opened.close(clean=True)


async def begin(state: StateStore, message_id: str = "m1", launch_id: str = "l1") -> Attempt:
    await state.accept(message_id, "message", BODY, ORIGIN, 10)
    await state.begin_launch(launch_id, None)
    begun = await state.begin_next(launch_id, None)
    assert begun
    assert begun.attempt
    return begun.attempt


def end_of(attempt: Attempt, *events: NewEvent, deltas: list | None = None, n: int = 1) -> TurnEnd:
    group = Group(launch_id=attempt.launch_id, n=n, events=list(events))
    if deltas:
        group.deltas = [(attempt.message_id, attempt.attempt, deltas)]
    return TurnEnd(
        kind="message", message_id=attempt.message_id, position=attempt.position, attempt=attempt.attempt,
        first_seq=attempt.first_seq, stop_reason="end_turn", usage={"tokens": 3}, workspace_version=None,
        started_at=attempt.started_at, group=group,
    )  # fmt: skip


def text(attempt: Attempt, words: str) -> NewEvent:
    return NewEvent("update", {"text": words}, attempt.message_id, attempt.attempt)


async def test_an_entry_is_accepted_once(state: StateStore) -> None:
    first = await state.accept("m1", "message", BODY, ORIGIN, 10)
    again = await state.accept("m1", "message", BODY, ORIGIN, 10)
    assert (first.duplicate, again.duplicate, again.position) == (False, True, first.position)
    with pytest.raises(IdempotencyMismatch):
        await state.accept("m1", "message", BODY | {"text": "other"}, ORIGIN, 10)
    assert (await state.overview()).queued == 1


async def test_the_inbox_is_bounded_and_says_so(state: StateStore) -> None:
    for n in range(3):
        await state.accept(f"m{n}", "message", BODY, ORIGIN, 3)
    with pytest.raises(TooMany) as refused:
        await state.accept("m4", "message", BODY, ORIGIN, 3)
    assert refused.value.extra == {"limit": 3, "current": 3}
    assert (await state.accept("m2", "message", BODY, ORIGIN, 3)).duplicate


async def test_many_accepts_at_once_keep_their_order(state: StateStore) -> None:
    positions = await asyncio.gather(*(state.accept(f"m{n}", "message", BODY, ORIGIN, 100) for n in range(50)))
    assert [accepted.position for accepted in positions] == list(range(1, 51))


async def test_a_turn_commits_state_events_inbox_and_checkpoint_together(state: StateStore) -> None:
    attempt = await begin(state)
    logged = await state.append(Group(launch_id="l1", n=2, events=[text(attempt, "he")], deltas=[("m1", 1, [replace({"n": 1})])]))
    committed = await state.end_turn(end_of(attempt, text(attempt, "llo"), deltas=[replace(2, "/n")], n=4))
    assert committed.turn == 1
    assert committed.reply == "hello"
    assert [event.event_type for event in committed.events] == ["update", "complete"]
    assert [event.seq for event in logged + committed.events] == [2, 3, 4]
    assert committed.events[-1].content == {"stop_reason": "end_turn", "usage": {"tokens": 3}, "checkpoint": 1}
    document = await state.document()
    assert (document.state, document.checkpoint) == ({"n": 2}, 1)
    status = await state.message("m1")
    assert status and status.reply
    assert (status.status, status.reply.text, status.reply.checkpoint) == ("complete", "hello", 1)
    assert (await state.overview()).queued == 0


def replace(value: object, path: str = "") -> dict:
    return {"op": "replace", "path": path, "value": value}


async def test_a_failed_attempt_leaves_only_its_end(state: StateStore) -> None:
    attempt = await begin(state)
    await state.append(Group(launch_id="l1", n=1, events=[text(attempt, "half")], deltas=[("m1", 1, [replace({"n": 1})])]))
    events = await state.fail_attempt(attempt, "exit", {"code": "agent_exited", "message": "signal 9"}, will_retry=True)
    assert [event.event_type for event in events] == ["attempt_failed"]
    assert events[0].content["first_seq"] == attempt.first_seq
    assert events[0].content["will_retry"] is True
    assert (await state.document()).state == {}
    begun = await state.begin_next("l2", None)
    assert begun
    assert begun.attempt
    second = begun.attempt
    assert (second.attempt, begun.events[0].attempt) == (2, 2)
    committed = await state.end_turn(end_of(second, text(second, "whole")))
    assert committed.reply == "whole"
    assert await state.attempt_counts(attempt.position) == (1, 0)


async def test_giving_a_message_up_is_a_turn_without_effects(state: StateStore) -> None:
    attempt = await begin(state)
    events = await state.fail_attempt(attempt, "exception", {"code": "agent_error", "message": "boom"}, will_retry=False)
    assert [event.event_type for event in events] == ["attempt_failed", "error"]
    assert events[-1].content == {"code": "agent_error", "message": "boom", "retryable": False}
    status = await state.message("m1")
    assert status and status.error
    assert (status.status, status.error.message) == ("failed", "boom")
    assert (await state.overview()).queued == 0
    assert (await state.overview()).turn == 1


async def test_deltas_that_do_not_fit_fail_the_turn_whole(state: StateStore) -> None:
    attempt = await begin(state)
    with pytest.raises(DeltaError):
        await state.end_turn(end_of(attempt, text(attempt, "x"), deltas=[replace({"n": 1}), replace(1, "/no/such")]))
    assert (await state.overview()).head.seq == attempt.first_seq
    assert (await state.document()).state == {}
    assert [open_.attempt for open_ in await state.open_attempts()] == [1]


async def test_events_have_no_gaps_and_can_be_read_by_message(state: StateStore) -> None:
    attempt = await begin(state)
    for n in range(5):
        await state.append(Group(launch_id="l1", n=n + 1, events=[text(attempt, str(n)), NewEvent("usage", {}, None, None)]))
    everything = await state.events_after(0, 100)
    assert [event.seq for event in everything] == list(range(1, 12))
    assert len(await state.events_after(0, 100, "m1")) == 6
    assert [event.seq for event in await state.events_after(4, 3)] == [5, 6, 7]


async def test_parking_needs_an_empty_inbox(state: StateStore) -> None:
    await state.accept("w1", "wake", {}, {}, 10)
    assert not await state.park("idle")
    begun = await state.begin_next("l1", None)
    assert begun
    assert (begun.entry.kind, begun.attempt, begun.events) == ("wake", None, [])
    assert await state.park("idle")
    assert (await state.overview()).status == "hibernated"


async def test_a_new_epoch_begins_above_the_last_event(state: StateStore) -> None:
    await begin(state)
    await state.begin_epoch(2, "boot")
    await state.begin_epoch(2, "boot")
    assert await state.epochs() == [(1, 0), (2, 1)]
    assert (await state.overview()).head == (2, 1)


async def test_launches_are_known_until_they_end(state: StateStore) -> None:
    await state.begin_launch("l1", 200_001)
    await state.launched("l1", 42, 99)
    await state.started("l1", 3, {"connect": 1.5})
    [launch] = await state.open_launches()
    assert (launch.pid, launch.start_time, launch.uid) == (42, 99, 200_001)
    await state.end_launch("l1", Ended(at=START, reason="killed", code=None, signal=9, log=["bye"]))
    assert await state.open_launches() == []
    overview = await state.overview()
    assert overview.last_exit and overview.last_exit.signal == 9
    assert overview.startup_ms == {"connect": 1.5}


async def test_a_launch_is_at_its_hooks_until_they_return(state: StateStore) -> None:
    await state.revise(Revision(deployment_id="a:1.0.0@00000000", bundle_hash="00000000", config={"model": "x"}))
    await state.begin_launch("l1", None)
    [launch] = await state.open_launches()
    assert (launch.pid, launch.last_n, launch.killed, launch.ended) == (None, 0, None, None)
    assert launch.hook == Hook(kind="init", serial=0, message_id="init.l1.0")
    assert launch.revision and launch.revision.config == {"model": "x"}
    await state.append(Group(launch_id="l1", n=2, events=[NewEvent("update", {"text": "a"}, "init.l1.0", 1)]))
    await state.append(Group(launch_id="l1", n=3, deltas=[("init.l1.0", 1, [{"op": "add", "path": "/x", "value": 1}])]))
    [launch] = await state.open_launches()
    assert (launch.last_n, launch.has_deltas, launch.first_seq) == (3, True, 1)
    end = TurnEnd(
        kind="init", message_id="init.l1.0", position=None, attempt=1, first_seq=1, stop_reason="end_turn", usage={},
        workspace_version=None, started_at=START, group=Group(launch_id="l1", n=4, returned=True),
    )  # fmt: skip
    await state.end_turn(end)
    [launch] = await state.open_launches()
    assert launch.hook == Hook(kind="init", serial=0, message_id="init.l1.0", returned=True)
    assert (launch.last_n, launch.has_deltas, launch.first_seq) == (4, False, None)
    idle = Hook(kind="idle", serial=1, message_id="idle.l1.1")
    await state.begin_hook("l1", idle)
    assert [launch.hook for launch in await state.open_launches()] == [idle]
    await state.append(Group(launch_id="l1", n=5, returned=True))
    assert [launch.hook for launch in await state.open_launches()] == [msgspec.structs.replace(idle, returned=True)]


async def test_a_shutdown_that_has_returned_is_remembered(state: StateStore) -> None:
    await state.begin_launch("l1", None)
    shutdown = Hook(kind="shutdown", serial=2, message_id="shutdown.l1.2", reason="idle")
    await state.begin_hook("l1", shutdown)
    await state.append(Group(launch_id="l1", n=1, returned=True))
    [launch] = await state.open_launches()
    assert launch.hook == msgspec.structs.replace(shutdown, returned=True)


async def test_what_a_process_was_started_as_is_what_it_began_with(state: StateStore) -> None:
    old = Revision(deployment_id="a:1.0.0@00000000", bundle_hash="00000000", config={"model": "x"})
    await state.revise(old)
    await state.begin_launch("l1", None)
    await state.revise(msgspec.structs.replace(old, config={"model": "y"}))
    [launch] = await state.open_launches()
    assert launch.revision == old


async def test_the_first_reason_of_a_kill_is_kept_and_an_ended_launch_is_listed_while_its_attempt_is_open(
    state: StateStore,
) -> None:
    attempt = await begin(state)
    await state.killing("l1", "it took too long")
    await state.killing("l1", "replaced")
    ended = Ended(at=START, reason="killed", code=None, signal=9, log=[], oom=True)
    await state.end_launch("l1", ended)
    [launch] = await state.open_launches()
    assert (launch.killed, launch.ended) == ("it took too long", ended)
    assert (await state.entry(attempt.position)).body == BODY
    await state.fail_attempt(attempt, "oom", {}, will_retry=True)
    assert await state.open_launches() == []
    overview = await state.overview()
    assert overview.last_exit and overview.last_exit.oom


async def test_revisions_are_recorded_when_they_change(state: StateStore) -> None:
    revision = Revision(deployment_id="a:1.0.0@00000000", bundle_hash="00000000", config={"model": "x"})
    await state.revise(revision)
    await state.revise(revision)
    assert (await state.overview()).revision == revision


async def test_history_pages(state: StateStore) -> None:
    for n in range(5):
        await state.accept(f"m{n}", "message", BODY, ORIGIN, 10)
    first, following = await state.messages(0, 3)
    rest, end = await state.messages(following or 0, 3)
    assert [m.message_id for m in first + rest] == [f"m{n}" for n in range(5)]
    assert (following, end) == (3, None)


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    state = await make_state(tmp_path / "state.db")
    attempt = await begin(state)
    for n in range(30):
        deltas = [replace({"items": []})] if n == 0 else [{"op": "add", "path": "/items/-", "value": "x" * 300}]
        await state.append(Group(launch_id="l1", n=n + 1, deltas=[("m1", 1, deltas)]))
    await state.end_turn(end_of(attempt))
    expected = await state.document(), await state.events_after(0, 100), await state.message("m1")
    await state.close(clean=True)
    state = await make_state(tmp_path / "state.db")
    assert (await state.document(), await state.events_after(0, 100), await state.message("m1")) == expected
    await state.close(clean=False)


async def test_old_events_are_dropped_but_not_those_of_an_open_attempt(state: StateStore) -> None:
    attempt = await begin(state)
    for n in range(30):
        await state.append(Group(launch_id="l1", n=n + 1, events=[NewEvent("update", {"text": "x"}, "m1", 1)] * 100))
    await state.prune_events(500)
    assert (await state.overview()).first_seq == 1
    await state.end_turn(end_of(attempt))
    for _ in range(3):
        await state.prune_events(500)
    overview = await state.overview()
    assert 500 <= overview.head.seq - overview.first_seq + 1 < 2500
    assert (await state.events_after(0, 1))[0].seq == overview.first_seq
    assert (await begin(state, "m2", "l2")).first_seq == overview.head.seq + 1


OLD = Revision(deployment_id="notes:1.0.0@00000000", bundle_hash="00000000", config={})
NEW = Revision(deployment_id="notes:2.0.0@11111111", bundle_hash="11111111", config={"a": 1})


async def test_an_upgrade_is_a_turn_under_what_it_upgrades_to(state: StateStore) -> None:
    await state.revise(OLD)
    await state.begin_launch("l1", None)
    assert await state.turn("upgrade_1") is None
    end = TurnEnd(
        kind="upgrade", message_id="upgrade_1", position=None, attempt=1, first_seq=None, stop_reason="end_turn", usage={},
        workspace_version=None, started_at=START, group=Group(launch_id="l1", n=1, returned=True), revision=NEW,
    )  # fmt: skip
    committed = await state.end_turn(end)
    ended = await state.turn("upgrade_1")
    assert ended
    assert (ended.turn, ended.kind, ended.status) == (committed.turn, "upgrade", "complete")
    assert (await state.overview()).revision == NEW
    [launch] = await state.open_launches()
    assert launch.revision == NEW  # it runs under it since it began


async def test_a_failed_upgrade_is_a_turn_that_changes_nothing_once(state: StateStore) -> None:
    await state.revise(OLD)
    [event] = await state.fail_upgrade("upgrade_1", NEW.deployment_id, "it does not start", START)
    assert (event.event_type, event.content["code"], event.content["retryable"]) == ("error", "upgrade_failed", False)
    assert await state.fail_upgrade("upgrade_1", NEW.deployment_id, "again", START) == []
    ended = await state.turn("upgrade_1")
    assert ended
    assert ended.error
    assert (ended.kind, ended.status, ended.error["message"]) == ("upgrade", "failed", "it does not start")
    overview = await state.overview()
    assert (overview.revision, overview.turn) == (OLD, 1)


async def upload(state: StateStore, message_id: str, path: str = "a.txt") -> Change:
    accepted = await state.accept(message_id, "upload", {"path": path}, ORIGIN, 10)
    return Change(
        position=accepted.position, message_id=message_id, path=path, change="created", changed=True, started_at=START, etag="e"
    )


async def test_a_file_that_is_put_waits_its_turn_and_is_one(state: StateStore) -> None:
    await state.accept("m1", "message", BODY, ORIGIN, 10)
    change = await upload(state, "u1")
    assert await state.next_change() is None  # a message comes before it
    assert [entry.message_id for entry in await state.changes()] == ["u1"]
    await state.begin_launch("l1", None)
    begun = await state.begin_next("l1", None)
    assert begun
    assert begun.attempt
    await state.end_turn(end_of(begun.attempt))
    for _ in range(2):  # taken as often as it is asked for, until it is done
        begun = await state.begin_next("l1", None)
        assert begun
        assert (begun.entry.kind, begun.attempt) == ("upload", None)
    events = await state.end_change(change)
    assert [event.event_type for event in events] == ["file_change", "complete"]
    assert events[0].content == {"path": "a.txt", "change": "created"}
    assert await state.changes() == []
    ended = await state.turn("u1")
    assert ended
    assert (ended.turn, ended.kind, ended.status, ended.reply) == (2, "upload", "complete", '{"change":"created","etag":"e"}')
    assert (await state.accept("u1", "upload", {"path": "a.txt"}, ORIGIN, 10)).done


async def test_a_file_that_cannot_be_put_is_a_failed_turn_and_one_that_changes_nothing_none(state: StateStore) -> None:
    refused = await upload(state, "u1")
    [event] = await state.end_change(msgspec.structs.replace(refused, error={"code": "conflict", "message": "a folder"}))
    assert (event.event_type, event.content) == ("error", {"code": "conflict", "message": "a folder", "retryable": False})
    nothing = await upload(state, "u2")
    assert await state.end_change(msgspec.structs.replace(nothing, changed=False, change="deleted")) == []
    assert await state.turn("u2") is None
    assert (await state.overview()).turn == 1
    assert await state.changes() == []

"""What people say to a turn, and what it asks them, as every adapter of the state port must keep it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podium.protocol import errors
from podium.state.port import Attempt, Question, StateStore
from tests.contract.state.test_state_contract import BODY, ORIGIN, begin, end_of, text
from tests.support.states import make_state


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateStore]:
    opened = await make_state(tmp_path / "state.db")
    yield opened
    await opened.close(clean=True)


async def again(state: StateStore, attempt: Attempt, outcome: Any = "exit", will_retry: bool = True) -> Attempt:
    """The next attempt, after this one failed."""
    await state.fail_attempt(attempt, outcome, {"code": "x", "message": "it died"}, will_retry=will_retry)
    launch_id = f"l{attempt.attempt + 1}"
    await state.begin_launch(launch_id, None)
    begun = await state.begin_next(launch_id, None)
    assert begun and begun.attempt
    return begun.attempt


def question(attempt: Attempt, words: str, ordinal: int = 1, kind: str = "question", n: int = 2) -> Question:
    return Question(
        launch_id=attempt.launch_id, n=n, message_id=attempt.message_id, attempt=attempt.attempt, ordinal=ordinal, kind=kind,
        content={"question": words},
    )  # fmt: skip


async def kinds_of(state: StateStore, message_id: str) -> list[str]:
    return [event.event_type for event in await state.events_after(0, 100, message_id)]


# ---- guidance


async def test_guidance_is_bound_to_the_turn_in_flight_and_given_again(state: StateStore) -> None:
    attempt = await begin(state)
    assert (await state.steer("s1", {"go": "left"}, ORIGIN, 10)).disposition == "injected"
    assert (await state.steer("s1", {"go": "left"}, ORIGIN, 10)).disposition == "duplicate"
    assert (await state.steer("s2", "faster", ORIGIN, 10)).message_id == "m1"
    said = await state.said(attempt.position)
    assert [(entry.kind, entry.message_id, entry.body) for entry in said.entries] == [
        ("steer", "s1", {"content": {"go": "left"}}),
        ("steer", "s2", {"content": "faster"}),
    ]
    await state.fail_attempt(attempt, "exit", {"code": "x", "message": ""}, will_retry=True)
    begun = await state.begin_next("l2", None)
    assert begun and begun.attempt
    assert begun.said.entries == said.entries
    await state.end_turn(end_of(begun.attempt))
    assert (await state.said(attempt.position)).entries == []
    assert (await state.steer("s1", {"go": "left"}, ORIGIN, 10)).disposition == "duplicate"
    with pytest.raises(errors.NoTurn):
        await state.steer("s3", "late", ORIGIN, 10)


async def test_guidance_before_the_turn_waits_for_it(state: StateStore) -> None:
    with pytest.raises(errors.NoTurn):
        await state.steer("s0", "early", ORIGIN, 10)
    await state.accept("m1", "message", BODY, ORIGIN, 10)
    await state.accept("m2", "message", BODY, ORIGIN, 10)
    assert (await state.steer("s0", "early", ORIGIN, 10)).disposition == "queued"
    assert (await state.overview()).queued == 2
    begun = await state.begin_next("l1", None)
    assert begun and begun.attempt
    assert [entry.message_id for entry in begun.said.entries] == ["s0"]
    await state.end_turn(end_of(begun.attempt))
    second = await state.begin_next("l1", None)
    assert second
    assert (second.entry.message_id, second.said.entries) == ("m2", [])


async def test_guidance_is_bounded_and_ids_are_one_space(state: StateStore) -> None:
    await begin(state)
    for n in range(3):
        await state.steer(f"s{n}", "x", ORIGIN, 3)
    with pytest.raises(errors.TooMany) as refused:
        await state.steer("s3", "x", ORIGIN, 3)
    assert refused.value.extra == {"limit": 3, "current": 3}
    for taken in ("m1", "s1"):
        with pytest.raises(errors.IdempotencyMismatch):
            await state.steer(taken, "other", ORIGIN, 10)


# ---- stops


async def test_a_stop_of_a_running_turn_survives_it_and_forbids_another_attempt(state: StateStore) -> None:
    attempt = await begin(state)
    stopped = await state.stop_turn("x1", None, ORIGIN)
    assert (stopped.disposition, stopped.message_id, stopped.ended) == ("injected", "m1", False)
    assert (await state.stop_turn("x2", "m1", ORIGIN)).disposition == "duplicate"
    assert [entry.kind for entry in (await state.said(attempt.position)).entries] == ["stop"]
    with pytest.raises(errors.NoTurn):
        await state.steer("s1", "on", ORIGIN, 10)
    failed = await state.fail_attempt(attempt, "exception", {"code": "agent_error", "message": "boom"}, will_retry=True)
    assert [event.event_type for event in failed] == ["attempt_failed", "error"]
    assert (failed[0].content["outcome"], failed[0].content["will_retry"]) == ("abandoned", False)
    assert failed[1].content["code"] == "stopped"
    status = await state.message("m1")
    assert status and status.error and status.error.code == "stopped"
    assert await state.begin_next("l2", None) is None


async def test_a_stop_that_the_agent_heeds_ends_with_the_turn(state: StateStore) -> None:
    attempt = await begin(state)
    await state.stop_turn("x1", None, ORIGIN)
    end = end_of(attempt, text(attempt, "half"))
    end.stop_reason, end.outcome = "stopped", "stopped"
    assert (await state.end_turn(end)).reply == "half"
    with pytest.raises(errors.NoTurn):
        await state.stop_turn("x2", "m1", ORIGIN)
    assert (await state.stop_turn("x1", None, ORIGIN)).disposition == "duplicate"


async def test_a_stop_of_a_waiting_message_ends_it_at_once(state: StateStore) -> None:
    attempt = await begin(state)
    await state.accept("m2", "message", BODY, ORIGIN, 10)
    stopped = await state.stop_turn("x1", "m2", ORIGIN)
    assert (stopped.disposition, stopped.ended) == ("injected", True)
    assert stopped.events[0].content == {"stop_reason": "stopped", "usage": {}, "checkpoint": 1}
    status = await state.message("m2")
    assert status and status.reply
    assert (status.status, status.reply.stop_reason, status.reply.text, status.attempts) == ("complete", "stopped", "", 0)
    assert await state.first_seq("m2") == stopped.events[0].seq
    assert (await state.accept("m2", "message", BODY, ORIGIN, 10)).done
    await state.end_turn(end_of(attempt))
    assert await state.begin_next("l1", None) is None
    assert (await state.overview()).turn == 2


async def test_a_stop_between_two_attempts_ends_the_message(state: StateStore) -> None:
    attempt = await begin(state)
    await state.fail_attempt(attempt, "exit", {"code": "x", "message": ""}, will_retry=True)
    assert (await state.stop_turn("x1", None, ORIGIN)).ended
    assert await kinds_of(state, "m1") == ["stream_start", "attempt_failed", "complete"]
    assert await state.begin_next("l2", None) is None


async def test_there_must_be_something_to_stop(state: StateStore) -> None:
    with pytest.raises(errors.NoTurn):
        await state.stop_turn("x1", None, ORIGIN)
    with pytest.raises(errors.NotFound):
        await state.stop_turn("x1", "nobody", ORIGIN)
    await begin(state)
    assert (await state.stop_turn("x1", None, ORIGIN)).disposition == "injected"


# ---- questions


async def test_a_question_is_put_answered_once_and_recorded(state: StateStore) -> None:
    attempt = await begin(state)
    asked = await state.ask(question(attempt, "left?"))
    assert asked.question.request_id == "m1.1"
    assert [(event.event_type, event.content) for event in asked.events] == [
        ("tool_question_requested", {"question": "left?", "request_id": "m1.1"})
    ]
    taken = await state.answer("a1", "m1.1", "yes", ORIGIN)
    assert (taken.disposition, taken.message_id) == ("injected", "m1")
    assert [event.content for event in taken.events] == [{"request_id": "m1.1", "content": "yes"}]
    assert (await state.answer("a1", "m1.1", "yes", ORIGIN)).disposition == "duplicate"
    with pytest.raises(errors.AlreadyAnswered):
        await state.answer("a2", "m1.1", "no", ORIGIN)
    with pytest.raises(errors.IdempotencyMismatch):
        await state.answer("a1", "m1.1", "no", ORIGIN)
    with pytest.raises(errors.NotFound):
        await state.answer("a3", "m1.2", "no", ORIGIN)
    [known] = (await state.said(attempt.position)).questions
    assert (known.answered, known.answer, known.ordinal) == (True, "yes", 1)


async def test_the_same_question_in_the_same_place_gets_the_recorded_answer(state: StateStore) -> None:
    first = await begin(state)
    await state.ask(question(first, "left?"))
    await state.ask(question(first, "right?", 2, n=3))
    await state.answer("a1", "m1.1", None, ORIGIN)
    second = await again(state, first)
    recorded = await state.ask(question(second, "left?"))
    assert (recorded.question.answered, recorded.question.answer, recorded.question.attempt) == (True, None, 2)
    assert [(event.event_type, event.attempt, event.content) for event in recorded.events] == [
        ("tool_approval_resolved", 2, {"request_id": "m1.1", "content": None, "recorded": True})
    ]
    open_again = await state.ask(question(second, "right?", 2, n=3))
    assert (open_again.question.request_id, open_again.question.answered) == ("m1.2", False)
    assert open_again.events[0].event_type == "tool_question_requested"
    assert (await state.answer("a2", "m1.2", "west", ORIGIN)).disposition == "injected"


async def test_an_answer_is_never_taken_for_another_question(state: StateStore) -> None:
    """A dialog that still shows what an attempt before had asked must not decide what this one asks."""
    first = await begin(state)
    await state.ask(question(first, "delete a?", kind="permission"))
    second = await again(state, first)
    other = await state.ask(question(second, "delete b?", kind="permission"))
    assert other.question.request_id == "m1.2"
    assert (await state.answer("a1", "m1.1", True, ORIGIN)).disposition == "queued"
    assert not (await state.said(first.position)).questions[1].answered
    third = await again(state, second)
    assert (await state.ask(question(third, "delete a?", kind="permission"))).question.answer is True


async def test_an_answer_between_two_attempts_waits_for_the_next(state: StateStore) -> None:
    first = await begin(state)
    await state.ask(question(first, "left?"))
    await state.fail_attempt(first, "interrupted", {"code": "x", "message": ""}, will_retry=True)
    taken = await state.answer("a1", "m1.1", "yes", ORIGIN)
    assert (taken.disposition, list(taken.events)) == ("queued", [])
    begun = await state.begin_next("l2", None)
    assert begun and begun.attempt
    assert (await state.ask(question(begun.attempt, "left?"))).question.answer == "yes"


async def test_a_question_is_closed_by_its_agent_or_by_the_end_of_its_turn(state: StateStore) -> None:
    attempt = await begin(state)
    await state.ask(question(attempt, "left?"))
    await state.ask(question(attempt, "right?", 2, n=3))
    [event] = await state.withdraw(question(attempt, "", 1, "withdraw", n=4))
    assert event.content == {"request_id": "m1.1", "withdrawn": True}
    assert await state.withdraw(question(attempt, "", 7, "withdraw", n=5)) == []
    with pytest.raises(errors.QuestionClosed, match="taken back"):
        await state.answer("a1", "m1.1", "yes", ORIGIN)
    await state.end_turn(end_of(attempt))
    with pytest.raises(errors.QuestionClosed, match="ended"):
        await state.answer("a1", "m1.2", "yes", ORIGIN)


@pytest.mark.parametrize("content", [True, False, {"approved": False, "reason": "mine"}])
async def test_a_permission_is_granted_or_denied(state: StateStore, content: Any) -> None:
    attempt = await begin(state)
    [event] = (await state.ask(question(attempt, "", kind="permission"))).events
    assert event.event_type == "tool_permission_requested"
    assert (await state.answer("a1", "m1.1", content, ORIGIN)).disposition == "injected"


@pytest.mark.parametrize("content", ["yes", 1, None, {}, {"approved": "true"}])
async def test_nothing_else_is_taken_for_a_permission(state: StateStore, content: Any) -> None:
    attempt = await begin(state)
    await state.ask(question(attempt, "", kind="permission"))
    with pytest.raises(errors.InvalidRequest, match="approved"):
        await state.answer("a1", "m1.1", content, ORIGIN)


async def test_what_was_said_is_there_after_reopening(tmp_path: Path) -> None:
    state = await make_state(tmp_path / "other.db")
    attempt = await begin(state)
    await state.ask(question(attempt, "left?"))
    await state.steer("s1", "x", ORIGIN, 10)
    await state.answer("a1", "m1.1", "yes", ORIGIN)
    await state.stop_turn("x1", None, ORIGIN)
    said = await state.said(attempt.position)
    await state.close(clean=False)
    state = await make_state(tmp_path / "other.db")
    assert await state.said(attempt.position) == said
    assert [entry.kind for entry in said.entries] == ["steer", "answer", "stop"]
    await state.close(clean=True)

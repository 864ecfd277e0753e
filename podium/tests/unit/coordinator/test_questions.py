"""What an agent may ask, and that each answer comes to it once."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from podium.coordinator.link import Link
from podium.coordinator.questions import MAX_OPEN_QUESTIONS, MAX_QUESTION_BYTES, MAX_QUESTIONS, Questions, waited_s
from podium.coordinator.stream import Stream
from podium.coordinator.work import Work
from podium.protocol.ids import Cursor
from podium.protocol.messages import HOOK_INIT, Answer, ToAgent, ToolRequest, ToolResponse
from podium.state.port import KnownQuestion, StateStore
from tests.support.states import START, make_state


class Asking:
    """An attempt at message m1, with what was sent to the agent."""

    def __init__(self, state: StateStore, work: Work, path: Path) -> None:
        self.state = state
        self.work = work
        self.link = Link(path / "unused.sock", "l1", None)
        self.questions = Questions(state, self.link, Stream(state, Cursor(1, 0), 10))

    @property
    def sent(self) -> list[ToAgent]:
        decoder = msgspec.json.Decoder(ToAgent)
        return [decoder.decode(data[4:]) for data in self.link._unacknowledged.values()]

    async def put(self, frame: ToolRequest) -> None:
        assert self.questions.refuses(self.work, frame) is None
        await self.questions.put(self.work, frame)


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Asking]:
    state = await make_state(tmp_path / "state.db")
    await state.accept("m1", "message", {"text": "", "role": "user"}, {"tenant_id": "t"}, 10)
    await state.begin_launch("l1", None)
    begun = await state.begin_next("l1", None)
    assert begun and begun.attempt
    yield Asking(state, Work.of_attempt(begun.attempt), tmp_path)
    await state.close(clean=True)


def request(k: int | str = 1, kind: str = "question", content: Any = None, message_id: str = "m1") -> ToolRequest:
    about = {"question": "left?"} if content is None else content
    return ToolRequest(n=2, request_id=f"{message_id}.{k}", message_id=message_id, kind=kind, content=about)


async def test_a_question_waits_and_is_answered_once(asking: Asking) -> None:
    await asking.put(request())
    assert asking.work.waiting == {1: "m1.1"}
    await asking.state.answer("a1", "m1.1", {"go": "west"}, {})
    for _ in range(2):
        assert asking.work.attempt
        said = await asking.state.said(asking.work.attempt.position)
        asking.questions.settle(asking.work, said.questions)
    assert asking.work.waiting == {}
    assert asking.sent == [Answer(id="m1#1?1", request_id="m1.1", content={"go": "west"})]


async def test_a_question_that_is_taken_back_waits_no_more(asking: Asking) -> None:
    await asking.put(request())
    await asking.put(request(kind="withdraw", content={}))
    assert asking.work.waiting == {}
    assert asking.sent == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (request(message_id="other"), "turn of a message"),
        (request(kind="dance"), "no kind"),
        (request(0), "request id"),
        (request("x"), "request id"),
        (request("²"), "request id"),
        (request(MAX_QUESTIONS + 1), str(MAX_QUESTIONS)),
        (request(content=["no object"]), "object"),
        (request(content={"question": "x" * MAX_QUESTION_BYTES}), str(MAX_QUESTION_BYTES)),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_said(asking: Asking, frame: ToolRequest, reason: str) -> None:
    refused = asking.questions.refuses(asking.work, frame)
    assert refused and reason in refused
    [response] = asking.sent
    assert response == ToolResponse(id="#2", request_id=frame.request_id, content=refused)


async def test_hooks_ask_nobody(asking: Asking) -> None:
    assert asking.questions.refuses(Work.of_hook(HOOK_INIT, "l1", 1, START), request(message_id=HOOK_INIT))
    assert asking.questions.refuses(None, request())


async def test_the_same_number_twice_is_refused(asking: Asking) -> None:
    await asking.put(request())
    assert asking.questions.refuses(asking.work, request())
    await asking.put(request(kind="withdraw", content={}))
    assert asking.questions.refuses(asking.work, request())


async def test_open_questions_are_bounded(asking: Asking) -> None:
    for k in range(1, MAX_OPEN_QUESTIONS + 1):
        await asking.put(request(k))
    refused = asking.questions.refuses(asking.work, request(MAX_OPEN_QUESTIONS + 1))
    assert refused and str(MAX_OPEN_QUESTIONS) in refused
    assert asking.questions.refuses(asking.work, request(1, kind="withdraw")) is None


def known(asked: int, closed: int | None, attempt: int = 1) -> KnownQuestion:
    return KnownQuestion("m1.1", 1, attempt, False, closed is not None, None, at(asked), None if closed is None else at(closed))


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


@pytest.mark.parametrize(
    ("questions", "waited"),
    [
        ([], 0),
        ([known(10, 15)], 5),
        ([known(10, None)], 90),
        ([known(10, 20), known(12, 15), known(18, 30)], 20),
        ([known(10, 20), known(40, 50)], 20),
        ([known(10, 20, attempt=2)], 0),
        ([known(60, 10)], 0),  # answered in an attempt before
    ],
)
def test_how_long_an_attempt_has_waited(questions: list[KnownQuestion], waited: int) -> None:
    assert waited_s(questions, 1, at(100)) == waited

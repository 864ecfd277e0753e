"""Whatever happens to connections and hosts, a reader sees each event once and in order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.client import AsyncPodium, Unreachable
from podium.coordinator.sse import record_frame
from podium.protocol import errors
from podium.protocol.api import LogRecord
from podium.protocol.events import Event, Frame, Reset, Truncate
from podium.protocol.ids import Cursor, parse_cursor
from tests.support.event_line import EventLine
from tests.support.gateway_double import (
    KEY,
    Answer,
    GatewayDouble,
    Received,
    event_stream,
    json_answer,
    problem,
    running_double,
    stream,
)
from tests.support.samples import NOW, message

EVENTS = "/api/v1/instances/a1/events"
MESSAGES = "/api/v1/instances/a1/messages"
MESSAGE = f"{MESSAGES}/m"
SHARED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def shared() -> Iterator[GatewayDouble]:
    with running_double() as double:
        yield double


def cursor_of(request: Received) -> Cursor | None:
    return parse_cursor(request.query["after"][0]) if "after" in request.query else None


def reading(line: EventLine, cut_after: int | None = None) -> Callable[[Received], Answer]:
    return lambda request: stream(line.after(cursor_of(request)), cut_after=cut_after, open_end=cut_after is None)


def apply(view: list[Event], frame: Frame) -> None:
    """What a reader makes of the frames."""
    if isinstance(frame, Truncate):
        view[:] = [event for event in view if event.seq <= frame.after_seq]
    elif isinstance(frame, Reset):
        view.clear()
    elif isinstance(frame, Event):
        view.append(frame)


async def collect(podium: AsyncPodium, message_id: str = "m") -> list[Frame]:
    return [frame async for frame in podium.stream("a1", "hello", message_id=message_id)]


async def test_log_records_over_cuts_come_once(double: GatewayDouble, podium: AsyncPodium) -> None:
    records = [LogRecord(id=n, at=NOW, level="info", source="agent", message=str(n)) for n in range(3, 9)]
    size = len(record_frame(records[0]))

    def serve(request: Received) -> Answer:
        after = int(request.query.get("after", ["0"])[0])
        frames = [record_frame(record) for record in records if record.id > max(0, after - 1)]  # one of them is known
        return event_stream(*frames, cut_after=2 * size + size // 2 if after < 7 else None, open_end=after >= 7)

    double.on("GET", "/api/v1/instances/a1/logs", serve)
    seen: list[LogRecord] = []
    async with aclosing(podium.follow_logs("a1")) as following:
        async for record in following:
            seen.append(record)
            if record.id == 8:
                break
    assert seen == records


async def test_a_log_stream_of_something_else_is_refused(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("GET", "/api/v1/instances/a1/logs", event_stream(b"event: log\ndata: {}\n\n"))
    with pytest.raises(errors.InternalError, match="not a log record"):
        await anext(podium.follow_logs("a1"))


PHASES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 3), st.integers(0, 1500)), max_size=5)


@SHARED
@given(phases=PHASES, chunk_bytes=st.integers(1, 300), overlap=st.integers(0, 3))
async def test_events_over_random_cuts_and_lost_hosts(
    shared: GatewayDouble, phases: list[tuple[int, int, int, int]], chunk_bytes: int, overlap: int
) -> None:
    shared.forget()
    line = EventLine()
    left = list(phases)

    def answer(request: Received) -> Answer:
        if not left:
            if not line.events or line.events[-1].event_type != "complete":
                line.add("complete")
            return stream(line.after(cursor_of(request), overlap), open_end=True, chunk_bytes=chunk_bytes)
        grown, lost, dropped, cut_after = left.pop(0)
        for _ in range(grown):
            line.add(text="x")
        frames = line.after(cursor_of(request), overlap)
        if lost:
            line.lose(lost)
        line.keep_from(min(line.first_seq + dropped, line.head.seq + 1))
        return stream(frames, cut_after=cut_after, chunk_bytes=chunk_bytes)

    shared.on("GET", EVENTS, answer)
    view: list[Event] = []
    async with asyncio.timeout(20), AsyncPodium(shared.url, KEY) as podium, aclosing(podium.events("a1")) as frames:
        async for frame in frames:
            apply(view, frame)
            if isinstance(frame, Event) and frame.event_type == "complete":
                break
    assert [event.seq for event in view] == list(range(view[0].seq, line.head.seq + 1))
    assert view == line.events[len(line.events) - len(view) :]


@SHARED
@given(
    owners=st.lists(st.sampled_from(["m", "another", None]), max_size=12),
    cuts=st.lists(st.integers(0, 1200), max_size=6),
    chunk_bytes=st.integers(1, 300),
    overlap=st.integers(0, 3),
)
async def test_a_message_over_random_cuts(
    shared: GatewayDouble, owners: list[str | None], cuts: list[int], chunk_bytes: int, overlap: int
) -> None:
    shared.forget()
    line = EventLine()
    for message_id in [*owners, "m"]:
        line.add(message_id=message_id, text="x")
    line.add("complete")
    line.add("stream_start", message_id="another")
    left = list(cuts)

    def answer(request: Received) -> Answer:
        frames = line.of("m") if request.method == "POST" else line.after(cursor_of(request), overlap)
        cut_after = left.pop(0) if left else None
        return stream(frames, cut_after=cut_after, open_end=request.method == "GET", chunk_bytes=chunk_bytes)

    shared.on("POST", MESSAGES, answer)
    shared.on("GET", EVENTS, answer)
    async with asyncio.timeout(20), AsyncPodium(shared.url, KEY) as podium:
        assert await collect(podium) == line.of("m")
    assert {request.headers["idempotency-key"] for request in shared.seen("POST", MESSAGES)} == {"m"}


async def test_the_message_is_posted_until_something_of_it_was_seen(double: GatewayDouble, podium: AsyncPodium) -> None:
    line = EventLine()
    line.add(text="a")
    line.add("complete")
    first = len(stream(line.events[:1]).body)
    double.on("POST", MESSAGES, stream(line.events, cut_after=0), stream(line.events, cut_after=first))
    double.on("GET", EVENTS, reading(line))
    assert await collect(podium) == line.events
    assert len(double.seen("POST", MESSAGES)) == 2
    assert [request.query["after"] for request in double.seen("GET", EVENTS)] == [["1.1"]]


async def test_a_lost_message_is_sent_again_under_its_id(double: GatewayDouble, podium: AsyncPodium) -> None:
    line = EventLine()
    line.add(message_id="another")
    line.add(text="lost")
    lost = list(line.of("m"))
    line.lose(1)

    def again(request: Received) -> Answer:
        line.add(text="again")
        line.add("complete")
        return stream(line.of("m"))

    double.on("POST", MESSAGES, stream(lost, cut_after=len(stream(lost).body)), again)
    double.on("GET", EVENTS, reading(line))
    assert await collect(podium) == [*lost, Truncate(epoch=2, after_seq=1), *line.of("m")]
    assert [request.headers["idempotency-key"] for request in double.seen("POST", MESSAGES)] == ["m", "m"]


async def test_a_truncate_within_the_message_goes_on_in_the_new_line(double: GatewayDouble, podium: AsyncPodium) -> None:
    line = EventLine()
    for text in "abc":
        line.add(text=text)
    seen = list(line.events)
    line.lose(2)
    line.add("attempt_failed", first_seq=1, will_retry=True)
    line.add("complete")
    double.on("POST", MESSAGES, stream(seen, cut_after=len(stream(seen).body)))
    double.on("GET", EVENTS, reading(line))
    assert await collect(podium) == [*seen, Truncate(epoch=2, after_seq=1), *line.events[1:]]
    assert len(double.seen("POST", MESSAGES)) == 1


async def test_a_failed_attempt_is_passed_on_and_the_stream_goes_on(double: GatewayDouble, podium: AsyncPodium) -> None:
    line = EventLine()
    line.add(text="half")
    line.add("attempt_failed", first_seq=1, will_retry=True)
    line.add(text="whole")
    line.add("complete")
    double.on("POST", MESSAGES, stream(line.events))
    assert await collect(podium) == line.events


async def test_an_error_that_is_final_ends_the_stream(double: GatewayDouble, podium: AsyncPodium) -> None:
    line = EventLine()
    line.add("error", code="turn_failed", message="it broke", retryable=False)
    double.on("POST", MESSAGES, stream(line.events, open_end=True))
    assert await collect(podium) == line.events


@pytest.mark.parametrize("standing", ["running", "failed"])
async def test_an_error_that_may_be_retried_ends_it_if_the_message_is_over(
    double: GatewayDouble, podium: AsyncPodium, standing: str
) -> None:
    line = EventLine()
    line.add("error", code="passing", message="", retryable=True)
    if standing == "running":
        line.add("complete")
    double.on("POST", MESSAGES, stream(line.events, open_end=True))
    double.on("GET", MESSAGE, json_answer(message(standing)))
    assert await collect(podium) == line.events


@pytest.mark.parametrize("standing", ["running", "complete"])
async def test_after_a_reset_it_ends_if_the_message_is_over(double: GatewayDouble, podium: AsyncPodium, standing: str) -> None:
    line = EventLine()
    first = line.add(text="a")
    for _ in range(5):
        line.add(text="b")
    line.keep_from(5)
    if standing == "running":
        line.add("complete")
    double.on("POST", MESSAGES, stream([first], cut_after=len(stream([first]).body)))
    double.on("GET", EVENTS, reading(line))
    double.on("GET", MESSAGE, json_answer(message(standing)))
    rest = line.events[4:] if standing == "running" else []
    assert await collect(podium) == [first, Reset(first_seq=5), *rest]


async def test_a_gap_is_healed_by_reading_again(double: GatewayDouble, podium: AsyncPodium) -> None:
    line = EventLine()
    for text in "abcd":
        line.add(text=text)
    double.on("GET", EVENTS, stream([line.events[0], line.events[2]], open_end=True), reading(line))
    async with aclosing(podium.events("a1", after="0.0")) as frames:
        seen = await first_events(frames, 4)
    assert seen == line.events
    assert [request.query["after"] for request in double.seen("GET", EVENTS)] == [["0.0"], ["1.1"]]


async def test_a_gap_that_stays_is_an_error(double: GatewayDouble, podium: AsyncPodium) -> None:
    line = EventLine()
    for text in "abc":
        line.add(text=text)
    double.on("GET", EVENTS, stream([line.events[0], line.events[2]], open_end=True), stream(line.events[2:], open_end=True))
    with pytest.raises(errors.InternalError, match=r"after 1\.1 came 1\.3"):
        async for _ in podium.events("a1"):
            pass


async def test_what_is_no_event_stream_is_an_error(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on(
        "GET", EVENTS,
        json_answer({"items": []}),
        Answer(body=b"event: update\ndata: {}\n\n", headers={"content-type": "text/event-stream"}),
    )  # fmt: skip
    with pytest.raises(errors.InternalError, match="without an event stream"):
        await anext(podium.events("a1"))
    with pytest.raises(errors.InternalError, match="not an event"):
        await anext(podium.events("a1"))


async def test_frames_of_a_later_version_are_passed_over(double: GatewayDouble, podium: AsyncPodium) -> None:
    event = EventLine().add(text="a")
    known = stream([event], open_end=True)
    double.on("GET", EVENTS, Answer(body=b"event: novelty\ndata: {}\n\n" + known.body, headers=known.headers, open_end=True))
    assert await anext(podium.events("a1")) == event


async def test_a_gateway_that_restarts_is_waited_for(double: GatewayDouble, podium: AsyncPodium) -> None:
    event = EventLine().add(text="a")
    busy = problem(errors.Unavailable("restarting"))
    double.on("GET", EVENTS, busy, busy, stream([], cut_after=0), stream([event], open_end=True))
    assert await anext(podium.events("a1")) == event


async def test_an_error_that_stays_is_raised(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("GET", EVENTS, problem(errors.NotFound("no such instance")))
    with pytest.raises(errors.NotFound, match="no such instance"):
        await anext(podium.events("a1"))


async def test_a_platform_that_stays_away_is_unreachable() -> None:
    async with AsyncPodium("http://127.0.0.1:9", KEY, retry_for_s=0.01, resume_for_s=0.01) as podium:
        with pytest.raises(Unreachable, match="podium up"):
            await anext(podium.events("a1"))
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
            await podium.health()


async def first_events(frames: AsyncIterator[Frame], count: int) -> list[Event]:
    events: list[Event] = []
    async for frame in frames:
        if isinstance(frame, Event):
            events.append(frame)
        if len(events) == count:
            break
    return events

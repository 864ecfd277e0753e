"""The parser sees the same events however the bytes are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.client.sse import NotAnEventStream, ServerSentEvent, SseParser

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n\0"), max_size=20)
# A leading space of a value is dropped by the format, and `message` is the name of what has none.
NAMES = st.sampled_from(["update", "status", "message"])
EVENTS = st.lists(
    st.builds(ServerSentEvent, NAMES, st.lists(TEXT, min_size=1, max_size=3).map("\n".join), st.none() | TEXT), max_size=6
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def written(event: ServerSentEvent, end: str) -> str:
    lines = [f"event: {event.event}", ": a comment", *(f"data: {line}" for line in event.data.split("\n"))]
    if event.id is not None:
        lines.append(f"id: {event.id}")
    return "".join(line + end for line in [*lines, ""])


def parsed(chunks: list[bytes]) -> list[ServerSentEvent]:
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@given(EVENTS, st.data(), st.lists(st.integers(0, 10_000), max_size=12), st.booleans())
def test_events_survive_any_cut_and_any_line_end(
    events: list[ServerSentEvent], data: st.DataObject, cuts: list[int], bom: bool
) -> None:
    text = ("\ufeff" if bom else "") + "".join(written(event, data.draw(LINE_ENDS)) for event in events)
    assert parsed(pieces(text.encode(), cuts)) == events


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_any_bytes_give_events_or_a_refusal_and_cuts_change_nothing(data: bytes, cuts: list[int]) -> None:
    def outcome(chunks: list[bytes]) -> list[ServerSentEvent] | None:
        try:
            return parsed(chunks)
        except NotAnEventStream:
            return None

    assert outcome([data]) == outcome(pieces(data, cuts))


def test_an_event_without_its_empty_line_is_none() -> None:
    assert SseParser().feed(b"event: update\ndata: 1\n") == []


def test_an_event_without_data_is_none_and_leaves_nothing_behind() -> None:
    assert SseParser().feed(b"id: 1.1\nevent: update\n\ndata: x\n\n") == [ServerSentEvent("message", "x", None)]


@pytest.mark.parametrize("data", [b"data: " + b"x" * 200, b"data: x\n" * 40])
def test_an_event_that_is_too_large_is_refused(data: bytes) -> None:
    with pytest.raises(NotAnEventStream, match="larger than 100 bytes"):
        SseParser(max_event_bytes=100).feed(data)


def test_many_small_events_at_once_are_not_too_large() -> None:
    assert len(SseParser(max_event_bytes=100).feed(b"data: x\n\n" * 100)) == 100


def test_what_is_not_utf8_is_refused() -> None:
    with pytest.raises(NotAnEventStream, match="UTF-8"):
        SseParser().feed(b"data: \xff\n")

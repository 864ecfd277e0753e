"""Which frames are news."""

from datetime import UTC, datetime

import pytest

from podium.client.line import Line, LineBroken
from podium.protocol.events import Event, Reset, Status, Truncate
from podium.protocol.ids import Cursor

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(epoch: int, seq: int) -> Event:
    return Event(epoch=epoch, seq=seq, event_type="update", message_id="m", attempt=1, ts=NOW, content={})


def test_the_first_event_sets_the_place() -> None:
    line = Line()
    assert line.take(event(3, 7), whole=True) is not None
    assert line.cursor == (3, 7)


@pytest.mark.parametrize("old", [event(2, 5), event(2, 4), event(1, 9)])
def test_what_was_seen_and_what_a_former_owner_wrote_is_no_news(old: Event) -> None:
    line = Line(Cursor(2, 5))
    assert line.take(old, whole=True) is None
    assert line.cursor == (2, 5)


def test_a_gap_is_noticed_on_a_whole_connection_only() -> None:
    with pytest.raises(LineBroken, match=r"after 2\.5 came 2\.7"):
        Line(Cursor(2, 5)).take(event(2, 7), whole=True)
    assert Line(Cursor(2, 5)).take(event(2, 7), whole=False)


def test_going_back_needs_a_truncate() -> None:
    line = Line(Cursor(2, 5))
    with pytest.raises(LineBroken, match="without a truncate"):
        line.take(event(3, 4), whole=False)
    assert line.take(Truncate(epoch=3, after_seq=3), whole=True)
    assert line.take(event(2, 4), whole=True) is None
    assert line.take(event(3, 4), whole=True)
    assert line.cursor == (3, 4)


def test_a_truncate_that_was_seen_is_no_news_and_one_above_the_place_breaks() -> None:
    line = Line(Cursor(3, 4))
    assert line.take(Truncate(epoch=3, after_seq=2), whole=True) is None
    with pytest.raises(LineBroken):
        line.take(Truncate(epoch=4, after_seq=9), whole=True)


def test_a_reset_skips_forward_only() -> None:
    line = Line(Cursor(3, 4))
    assert line.take(Reset(first_seq=5), whole=True) is None
    assert line.take(Reset(first_seq=10), whole=True)
    assert line.cursor == (3, 9)
    assert line.take(event(3, 10), whole=True)


def test_a_status_passes_and_moves_nothing() -> None:
    line = Line(Cursor(3, 4))
    assert line.take(Status(cursor="3.9", status="ready"), whole=True)
    assert line.cursor == (3, 4)

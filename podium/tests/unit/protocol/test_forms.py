"""The bytes of frames, read back by somebody else's parser."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from podium.client.sse import SseParser
from podium.protocol.errors import InvalidRequest
from podium.protocol.events import Event, Reset, Status, dotted, encoded
from podium.protocol.forms import form, text_frame
from podium.protocol.ids import Cursor

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(event_type: str = "tool_call_start", **content: str) -> Event:
    return Event(epoch=1, seq=2, event_type=event_type, message_id="m", attempt=1, ts=NOW, content=content)


def read(data: bytes) -> list[bytes]:
    """What `websockets` makes of bytes of a server."""
    protocol = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=None)
    protocol.receive_data(data)
    assert protocol.parser_exc is None
    frames = [frame for frame in protocol.events_received() if isinstance(frame, Frame)]
    return [bytes(frame.data) for frame in frames if frame.opcode is Opcode.TEXT and frame.fin]


@given(st.lists(st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000]), max_size=5))
def test_text_frames_of_every_length(sizes: list[int]) -> None:
    bodies = [b"x" * size for size in sizes]
    assert read(b"".join(map(text_frame, bodies))) == bodies


@pytest.mark.parametrize("names", [None, "dotted"])
def test_an_event_over_both_carriers_is_the_same_json(names: str | None) -> None:
    sent = event(text='a\nb "event_type":"tool_call_start" ü')
    [sse] = SseParser().feed(form("sse", names).event(encoded(sent)))
    [body] = read(form("websocket", names).event(encoded(sent)))
    assert (sse.event, sse.id) == ("update", str(Cursor(1, 2)))
    assert sse.data == body.decode()
    event_type = "tool.call_start" if names else "tool_call_start"
    assert msgspec.json.decode(body, type=Event) == msgspec.structs.replace(sent, event_type=event_type)


@pytest.mark.parametrize("frame", [Status(cursor="1.2", status="ready"), Reset(first_seq=3)])
def test_frames_without_a_number(frame: msgspec.Struct) -> None:
    [sse] = SseParser().feed(form("sse", None).frame(frame))
    assert (sse.event, sse.id) == (frame.__struct_config__.tag, None)
    assert read(form("websocket", None).frame(frame)) == [sse.data.encode()]


def test_heartbeats_say_nothing() -> None:
    assert SseParser().feed(form("sse", None).heartbeat) == []
    assert read(form("websocket", None).heartbeat) == []


@pytest.mark.parametrize(
    ("name", "with_dots"),
    [
        ("update", "update"),
        ("stream_start", "stream.start"),
        ("plan_step_started", "plan.step_started"),
        ("custom_a_b", "custom.a_b"),
    ],
)
def test_names_with_dots(name: str, with_dots: str) -> None:
    assert dotted(name) == with_dots


@pytest.mark.parametrize("names", ["", "Dotted", "camel"])
def test_names_that_are_not_known(names: str) -> None:
    with pytest.raises(InvalidRequest):
        form("sse", names)

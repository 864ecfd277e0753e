"""How frames go over the wire: as server-sent events, or as text frames of a WebSocket; with underscores or dots in names."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from podium.protocol.errors import InvalidRequest
from podium.protocol.events import Encoded, dotted_body

Carrier = Literal["sse", "websocket"]
MEDIA_TYPES: dict[Carrier, str] = {"sse": "text/event-stream", "websocket": "application/json"}
_encoder = msgspec.json.Encoder()


class Form(NamedTuple):
    """`event` and `frame` give the bytes of one frame; frames follow each other without anything between."""

    carrier: Carrier
    dotted: bool
    event: Callable[[Encoded], bytes]
    frame: Callable[[msgspec.Struct], bytes]
    heartbeat: bytes


def form(carrier: Carrier, names: str | None) -> Form:
    """The form a client asked for by `names=`; InvalidRequest for a value that is not known."""
    if names not in (None, "dotted"):
        raise InvalidRequest("names must be dotted, or left out for names with underscores")
    return _FORMS[carrier, names == "dotted"]


# ---- server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html


def sse_frame(frame: msgspec.Struct) -> bytes:
    """A frame without a number: it carries no `id`."""
    return b"event: %s\ndata: %s\n\n" % (_tag(frame), _encoder.encode(frame))


def _sse_event(event: Encoded) -> bytes:
    return b"id: %d.%d\nevent: update\ndata: %s\n\n" % (event.epoch, event.seq, event.body)


def _sse_event_dotted(event: Encoded) -> bytes:
    return b"id: %d.%d\nevent: update\ndata: %s\n\n" % (event.epoch, event.seq, dotted_body(event))


# ---- text frames from a server, final and unmasked: RFC 6455, section 5.2

_SHORT = [bytes((0x81, size)) for size in range(126)]


def text_frame(body: bytes) -> bytes:
    """One whole message as a WebSocket frame."""
    size = len(body)
    if size < 126:
        return _SHORT[size] + body
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + body
    return b"\x81\x7f" + size.to_bytes(8, "big") + body


def socket_frame(frame: msgspec.Struct) -> bytes:
    """A frame without a number."""
    return text_frame(_encoder.encode(frame))


def _socket_event(event: Encoded) -> bytes:
    return text_frame(event.body)


def _socket_event_dotted(event: Encoded) -> bytes:
    return text_frame(dotted_body(event))


def _tag(frame: msgspec.Struct) -> bytes:
    config: Any = frame.__struct_config__
    return str(config.tag).encode()


_COMMENT = b": \n\n"
_PING = b"\x89\x00"
_FORMS: dict[tuple[Carrier, bool], Form] = {
    ("sse", False): Form("sse", False, _sse_event, sse_frame, _COMMENT),
    ("sse", True): Form("sse", True, _sse_event_dotted, sse_frame, _COMMENT),
    ("websocket", False): Form("websocket", False, _socket_event, socket_frame, _PING),
    ("websocket", True): Form("websocket", True, _socket_event_dotted, socket_frame, _PING),
}
SSE = _FORMS["sse", False]

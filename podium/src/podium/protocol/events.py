"""The frames of the native stream (section 5) that Podium sends, and events encoded once for all their readers."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from podium.protocol.ids import Cursor


class Event(msgspec.Struct, tag="update", kw_only=True):
    """One event of an instance's line; (`epoch`, `seq`) names it for ever."""

    epoch: int
    seq: int
    event_type: str
    message_id: str | None
    attempt: int | None
    ts: datetime
    content: dict[str, Any]

    @property
    def cursor(self) -> Cursor:
        """Where a reader stands that has seen this event."""
        return Cursor(self.epoch, self.seq)


class Truncate(msgspec.Struct, tag="truncate", kw_only=True):
    """Drop everything above `after_seq`: `epoch` began there and the new line follows."""

    epoch: int
    after_seq: int


class Reset(msgspec.Struct, tag="reset", kw_only=True):
    """The log begins at `first_seq` now; what lies between the cursor and it is gone."""

    first_seq: int


class Status(msgspec.Struct, tag="status", kw_only=True, omit_defaults=True):
    """Where the line stands now, and what the instance does. As the last frame of a stream that ends early: `code` is one of
    the error codes and `reason` says what to do."""

    cursor: str
    status: str
    code: str | None = None
    reason: str | None = None


class Receipt(msgspec.Struct, tag="receipt", kw_only=True, omit_defaults=True):
    """What became of something a client sent: `queued` in the inbox, `injected` into the turn in flight, known as `duplicate`,
    or `rejected` for `reason`, whose `code` is one of the error codes. `id` is null where none could be read."""

    id: str | None
    disposition: Literal["queued", "injected", "duplicate", "rejected"]
    reason: str | None = None
    code: str | None = None


class Pong(msgspec.Struct, tag="pong", kw_only=True):
    """The answer to `ping`, with its `id`."""

    id: str | None = None


Frame = Event | Truncate | Reset | Status
_encoder = msgspec.json.Encoder()


class Encoded(NamedTuple):
    """An event as JSON, with what its readers choose by."""

    epoch: int
    seq: int
    message_id: str | None
    event_type: str
    body: bytes

    @property
    def cursor(self) -> Cursor:
        """Where a reader stands that has seen this event."""
        return Cursor(self.epoch, self.seq)


def encoded(event: Event) -> Encoded:
    """The event, encoded."""
    return Encoded(event.epoch, event.seq, event.message_id, event.event_type, _encoder.encode(event))


def dotted(event_type: str) -> str:
    """The name for clients that expect dots: `tool_call_start` is `tool.call_start`."""
    return event_type.replace("_", ".", 1)


def dotted_body(event: Encoded) -> bytes:
    """The event's JSON under its dotted name. `event_type` comes before anything that an agent chose."""
    name = dotted(event.event_type)
    if name == event.event_type:
        return event.body
    return event.body.replace(b'"event_type":"%s"' % event.event_type.encode(), b'"event_type":"%s"' % name.encode(), 1)

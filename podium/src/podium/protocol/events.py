"""Numbered events of the native stream (section 5) and their SSE form."""

from datetime import datetime
from typing import Any, Literal

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


class Status(msgspec.Struct, tag="status", kw_only=True):
    """Where the line stands now, and what the instance does."""

    cursor: str
    status: str


class Receipt(msgspec.Struct, tag="receipt", kw_only=True):
    """What became of something a client sent: `queued` in the inbox, `injected` into the turn in flight, known as `duplicate`,
    or `rejected` for `reason`, whose `code` is one of the error codes."""

    id: str
    disposition: Literal["queued", "injected", "duplicate", "rejected"]
    reason: str | None = None
    code: str | None = None


class Pong(msgspec.Struct, tag="pong", kw_only=True):
    """The answer to `ping`, with its `id`."""

    id: str | None = None


Frame = Event | Truncate | Reset | Status
_encoder = msgspec.json.Encoder()


def sse(frame: Frame) -> bytes:
    """The frame as one server-sent event; only numbered events carry an `id`, the cursor."""
    body = _encoder.encode(frame)
    if isinstance(frame, Event):
        return b"id: %d.%d\nevent: update\ndata: %s\n\n" % (frame.epoch, frame.seq, body)
    return b"event: %s\ndata: %s\n\n" % (frame.__struct_config__.tag.encode(), body)  # type: ignore[union-attr]

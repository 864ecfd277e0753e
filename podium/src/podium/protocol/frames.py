"""The frames a client sends over a WebSocket (section 5). Unknown kinds and members are refused."""

from typing import Any

import msgspec

from podium.protocol.api import Attachments, Earlier, MessageId
from podium.protocol.documents import check_document
from podium.protocol.errors import InvalidRequest


class _Frame(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`id` names the frame for ever: a repeat with the same id does nothing twice. Podium chooses one where it is missing."""

    id: MessageId | None = None


class MessageContent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the message says."""

    text: str
    messages: Earlier = []
    attachments: Attachments = []


class ProcessMessage(_Frame, tag="process_message"):
    """A message for the agent; `id` becomes its `message_id`."""

    content: MessageContent


class SteerTurn(_Frame, tag="steer"):
    """Guidance for the turn in flight."""

    content: Any


class StopTurn(_Frame, tag="stop_turn"):
    """End the turn in flight, or the one of `message_id`."""

    message_id: MessageId | None = None


class AnswerRequest(_Frame, tag="answer"):
    """The answer to a question or a permission request."""

    request_id: str
    content: Any


class Ping(_Frame, tag="ping"):
    """Asks for a `pong`."""


ClientFrame = ProcessMessage | SteerTurn | StopTurn | AnswerRequest | Ping
_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


class _Named(msgspec.Struct):
    id: MessageId | None = None


def read_frame(data: bytes) -> ClientFrame:
    """The frame; InvalidRequest says what is wrong with it."""
    try:
        frame = _decoder.decode(data)
        check_document(data)
        return frame
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the frame is not as it should be: {error}") from None


def id_of(data: bytes) -> str | None:
    """The `id` of a frame that may be wrong otherwise; None where it cannot be read."""
    try:
        return msgspec.json.decode(data, type=_Named).id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None

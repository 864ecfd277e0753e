"""What a request may carry beside its body: each parameter of the route table with its type, its bounds and what it means."""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from podium.protocol import ids

MAX_PAGE = 200
MAX_RECORDS = 1000
"""Of what is read in bulk: events, log records."""
MAX_OFFSET = 10**9
MAX_RECORD = 2**62
MAX_DEPTH = 32
MAX_WAIT_S = 300
DEFAULT_WAIT_S = 50.0

Status = Literal[
    "deploying", "initializing", "ready", "running", "scaling_down", "shutting_down", "hibernated", "failed", "terminated"
]
Level = Literal["debug", "info", "warning", "error", "critical"]


class Parameter(msgspec.Struct, kw_only=True, frozen=True):
    """One parameter. `type` is what a JSON schema is made of; None as `default` is none. `built` False answers 501."""

    name: str
    place: Literal["path", "query", "header"]
    type: Any
    doc: str
    default: Any = None
    built: bool = True


def _query(name: str, type_: Any, doc: str, default: Any = None, *, built: bool = True) -> Parameter:
    return Parameter(name=name, place="query", type=type_, doc=doc, default=default, built=built)


def _header(name: str, type_: Any, doc: str) -> Parameter:
    return Parameter(name=name, place="header", type=type_, doc=doc)


def _path(name: str, type_: Any, doc: str) -> Parameter:
    return Parameter(name=name, place="path", type=type_, doc=doc)


def _whole(pattern: re.Pattern[str]) -> Meta:
    return Meta(pattern=ids.schema_pattern(pattern))


_CURSOR = re.compile(r"\d{1,18}\.\d{1,18}")
_NUMBER = re.compile(r"\d{1,18}")
_DEPLOYMENT = re.compile(f"{ids.AGENT_TYPE.pattern}:{ids.VERSION.pattern}")

PATH = {
    parameter.name: parameter
    for parameter in (
        _path("instance_id", Annotated[str, _whole(ids.INSTANCE_ID)], "The instance, by its id."),
        _path("message_id", Annotated[str, _whole(ids.MESSAGE_ID)], "The message, by its id."),
        _path(
            "deployment_id",
            Annotated[str, _whole(ids.REFERENCE), Meta(max_length=250)],
            "`type` (its highest version, prereleases aside), `type:version` or the full id.",
        ),
        _path("path", Annotated[str, Meta(min_length=1, max_length=4095)], "A path below the workspace; never upwards."),
        _path("key_prefix", str, "The beginning of a key, as it was listed."),
        _path("agent_type", Annotated[str, _whole(ids.AGENT_TYPE)], "The agent type."),
        _path("coordinator_id", str, "The coordinator."),
    )
}
"""The parameters that stand in paths, by name."""


def limit(most: int, default: int) -> Parameter:
    """How many items a page has."""
    return _query("limit", Annotated[int, Meta(ge=1, le=most)], "How many items at most.", default)


DEPLOYMENT_CURSOR = _query("cursor", Annotated[str, _whole(_DEPLOYMENT)], "`next_cursor` of the page before.")
INSTANCE_CURSOR = _query("cursor", Annotated[str, _whole(ids.INSTANCE_ID)], "`next_cursor` of the page before.")
MESSAGE_CURSOR = _query("cursor", Annotated[str, _whole(_NUMBER)], "`next_cursor` of the page before.")
WAIT = _query("wait", Annotated[float, Meta(ge=0, le=MAX_WAIT_S)], "Seconds to wait for the end before 202.", DEFAULT_WAIT_S)
WAIT_NOT = _query("wait", Annotated[float, Meta(ge=0, le=MAX_WAIT_S)], "Seconds to wait for the message's end.", 0)
PREFER = _header("Prefer", str, "`respond-async` is `wait=0`.")
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    Annotated[str, _whole(ids.MESSAGE_ID)],
    "The same key again with the same body has the result of the first; with another body it is refused.",
)
MESSAGE_KEY = _header(
    "Idempotency-Key", Annotated[str, _whole(ids.MESSAGE_ID)], "The `message_id`; one value with `id` of the body."
)
AGENT_TYPE = _query("agent_type", Annotated[str, _whole(ids.AGENT_TYPE)], "Only instances of this agent type.")
STATUS = _query("status", Status, "Only instances of this status.")
LABEL = _query("label", list[str], "`name` or `name=value`; several must all fit.")
AFTER = _query("after", Annotated[str, _whole(_CURSOR)], "A cursor, `epoch.seq`: events behind it. Wins over `Last-Event-ID`.")
LAST_EVENT_ID = _header("Last-Event-ID", Annotated[str, _whole(_CURSOR)], "As `after`: what a browser sends by itself.")
NAMES = _query("names", Literal["dotted"], "Event types with their first underscore as a dot: `tool.call_start`.")
SOCKET_KEY = _header("Sec-WebSocket-Protocol", str, "For browsers: `podium, bearer.KEY` in place of `Authorization`.")
LEVEL = _query("level", Level, "The least level of a record.")
OFFSET = _query("offset", Annotated[int, Meta(ge=0, le=MAX_OFFSET)], "How many of the newest records to leave out.", 0)
FOLLOW = _query("follow", bool, "A stream of records that goes on.", False)
AFTER_RECORD = _query("after", Annotated[int, Meta(ge=0, le=MAX_RECORD)], "With `follow`: records behind this `id`.")
LAST_RECORD_ID = _header("Last-Event-ID", Annotated[int, Meta(ge=0, le=MAX_RECORD)], "As `after`, which wins.")
FOLDER = _query("path", Annotated[str, Meta(max_length=4095)], "The directory to list; the workspace where missing.")
DEPTH = _query("depth", Annotated[int, Meta(ge=1, le=MAX_DEPTH)], "How many levels below it.", 1)
AT = _query("at", str, "A checkpoint.", built=False)
HISTORY = _query("history", str, "The iterations of the file.", built=False)
RANGE = _header("Range", str, "One range of bytes, such as `bytes=0-99`; anything else is answered with the whole file.")
IF_NONE_MATCH = _header("If-None-Match", str, "An entity tag: 304 while the content is still that one.")
IF_RANGE = _header("If-Range", str, "An entity tag: the whole file where the content is not that one any more.")

"""Bodies of the public API (section 4). Requests refuse unknown fields; answers may grow new ones."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from podium.protocol.events import Frame
from podium.protocol.ids import INSTANCE_ID, REFERENCE, schema_pattern

T = TypeVar("T")
Time = Annotated[datetime, msgspec.Meta(tz=True)]
LabelName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelText = Annotated[str, msgspec.Meta(max_length=256)]
Labels = Annotated[dict[LabelName, LabelText], msgspec.Meta(max_length=64)]
LabelPatch = Annotated[dict[LabelName, LabelText | None], msgspec.Meta(max_length=128)]
Secrets = Annotated[
    dict[Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$")], str], msgspec.Meta(max_length=64)
]
Variables = Annotated[
    dict[
        Annotated[str, msgspec.Meta(pattern=r"^(?!AGENT_|PODIUM_|LD_|PATH$|HOME$)[A-Za-z_][A-Za-z0-9_]{0,127}$")],
        Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")],
    ],
    msgspec.Meta(max_length=128),
]
AgentId = Annotated[str, msgspec.Meta(pattern=schema_pattern(INSTANCE_ID))]
Reference = Annotated[str, msgspec.Meta(pattern=schema_pattern(REFERENCE), max_length=250)]
Attachments = Annotated[list[dict[str, Any]], msgspec.Meta(max_length=64)]
Earlier = Annotated[list[dict[str, Any]], msgspec.Meta(max_length=1000)]
MessageId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]


class Request(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of the bodies a client sends."""


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """One page of a list; `next_cursor` null on the last."""

    items: list[T]
    next_cursor: str | None = None


class Problem(msgspec.Struct, kw_only=True):
    """Every error, as RFC 9457 says. `code` is stable; `detail` says what happened, why, and what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str
    limit: int | None = None
    current: int | None = None


# ---- deployments


class BundleForm(Request):
    """The fields of a multipart form. `file` is the bundle's bytes, a tar.gz; the others say what its manifest says."""

    file: bytes
    agent_type: str
    version: str


class Deployment(msgspec.Struct, kw_only=True):
    """A bundle in the registry. `checksum` is `sha256:` and 64 hex digits."""

    deployment_id: str
    agent_type: str
    version: str
    checksum: str
    size_bytes: int
    created_at: Time
    runtime: str = "python"


# ---- instances


class CreateInstance(Request):
    """`deployment_id` may be `type`, `type:version` or the full id; `agent_id` is made up where it is missing."""

    deployment_id: Reference
    agent_id: AgentId | None = None
    config: dict[str, Any] = {}
    labels: Labels = {}
    secrets: Secrets | None = None
    environment: Variables | None = None


class PatchInstance(Request):
    """What is to change. `config` and `labels` are JSON Merge Patches (RFC 7396): null removes."""

    config: dict[str, Any] | None = None
    labels: LabelPatch | None = None
    deployment_id: Reference | None = None


class RestartInstance(Request):
    """`now` gives the turn in flight up, to be run again in the new process; else its end is waited for."""

    now: bool = False


class Upgrade(msgspec.Struct, kw_only=True):
    """A change of the deployment that was asked for and has not happened: `pending`, or `failed` with the reason."""

    deployment_id: str
    status: str
    reason: str | None = None


class LastExit(msgspec.Struct, kw_only=True):
    """How the agent's last process ended; both numbers null where nobody saw it. `oom`: for want of memory."""

    at: Time
    reason: str
    code: int | None = None
    signal: int | None = None
    oom: bool = False
    log: list[str] = []


class Instance(msgspec.Struct, kw_only=True):
    """An instance as its owner sees it. `agent_id` is the same string as `instance_id`.

    `startup_ms` has the milliseconds of the last start by phase: `prepare` (bundle and environment), `queue` (others were
    starting), `mount` (workspace), `launch` (process), `agent` (from there to `ready`), and within that what the agent itself has
    measured: `agent.python`, `agent.connect`, `agent.load`, `agent.init`.
    """

    instance_id: str
    agent_id: str
    deployment_id: str
    status: str
    created_at: Time
    labels: dict[str, str] = {}
    config: dict[str, Any] = {}
    reason: str | None = None
    epoch: int = 0
    coordinator_id: str | None = None
    cursor: str | None = None
    checkpoint: int = 0
    queued: int = 0
    workspace: dict[str, Any] = {}
    awake_because: str | None = None
    last_exit: LastExit | None = None
    startup_ms: dict[str, float] = {}
    upgrade: Upgrade | None = None


# ---- messages


class SendMessage(Request):
    """A message for the agent; `id` makes it idempotent and becomes its `message_id`. `messages` is what was said before, where
    the client keeps that."""

    text: str
    role: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "user"
    attachments: Attachments = []
    messages: Earlier = []
    id: MessageId | None = None

    def document(self) -> dict[str, Any]:
        """What the inbox keeps of it."""
        before = {"messages": self.messages} if self.messages else {}
        return {"text": self.text, "role": self.role, "attachments": self.attachments, **before}


class Steer(Request):
    """Guidance for the turn in flight: any JSON of at most 64 KiB."""

    content: Any
    id: MessageId | None = None


class Stop(Request):
    """Ends the turn in flight, or the one of `message_id`, which need not have begun."""

    message_id: MessageId | None = None
    id: MessageId | None = None


class AnswerQuestion(Request):
    """What a person says to the question of that `request_id`: any JSON of at most 64 KiB; to a permission request `true`,
    `false` or an object whose `approved` is one of them."""

    request_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,160}$")]
    content: Any
    id: MessageId | None = None


class Reply(msgspec.Struct, kw_only=True):
    """What the agent answered. `checkpoint` is the turn whose commit released it."""

    message_id: str
    text: str
    stop_reason: str
    usage: dict[str, Any]
    checkpoint: int


class Queued(msgspec.Struct, kw_only=True):
    """A message that is accepted durably and not done yet; its Location says where to look."""

    message_id: str
    status: str = "queued"


class MessageError(msgspec.Struct, kw_only=True):
    """Why a message was given up."""

    code: str
    message: str


class MessageStatus(msgspec.Struct, kw_only=True):
    """One message of the history: queued, running, complete or failed."""

    message_id: str
    status: str
    role: str
    text: str
    accepted_at: Time
    attempts: int = 0
    reply: Reply | None = None
    error: MessageError | None = None


class EventPage(msgspec.Struct, kw_only=True):
    """Events as one page. `next_cursor` goes into `after`, null where nothing more is there yet."""

    items: list[Frame]
    next_cursor: str | None = None


class StateDocument(msgspec.Struct, kw_only=True):
    """The state as of `checkpoint`; 0 before the first turn."""

    state: dict[str, Any]
    checkpoint: int


class FileEntry(msgspec.Struct, kw_only=True):
    """One name in the workspace. `kind` is file, directory, symlink or other."""

    path: str
    kind: str
    size_bytes: int
    modified_at: Time


class UploadedFile(msgspec.Struct, kw_only=True):
    """What became of a file that was put: `created`, `modified`, or `queued` while a turn runs. `etag` names the content."""

    path: str
    message_id: str
    change: str
    etag: str | None = None


class LogRecord(msgspec.Struct, kw_only=True):
    """One line of the agent's log. `source` is agent, output or platform."""

    id: int
    at: Time
    level: str
    source: str
    message: str
    module: str = ""


class Health(msgspec.Struct, kw_only=True):
    """`checks` names each part that was asked and what it said."""

    status: str
    checks: dict[str, str] = {}


class CoordinatorStatus(msgspec.Struct, kw_only=True):
    """A coordinator as it is announced. `load` and `capacity` count awake instances."""

    coordinator_id: str
    url: str
    load: int
    capacity: int
    draining: bool

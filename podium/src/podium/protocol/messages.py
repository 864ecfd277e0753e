"""What coordinator and agent say to each other (section 6), one struct per frame, told apart by `type`.

Frames from the agent carry `n`, counted per launch from 1; the coordinator answers `ack {n}` once the effect is durable.
Frames to the agent carry `id`, unique per message and attempt; the agent answers `ack {id}` once it has them. What is not
acknowledged is sent again after a reconnect, and what is known is dropped. Unknown fields are ignored: either side may be newer.
"""

from typing import Any

import msgspec

PROTOCOL = 1
"""The version of this file. A coordinator speaks every version ever released; the agent names its own in `hello`."""


class Origin(msgspec.Struct, kw_only=True):
    """Who sent a message, as the gateway knows it."""

    tenant_id: str
    role: str = "user"
    channel: str = "api"


class MessageData(msgspec.Struct, kw_only=True):
    """The body of a message."""

    text: str
    role: str = "user"
    attachments: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []


# ---- coordinator to agent


class Init(msgspec.Struct, tag="init", kw_only=True):
    """The first frame of a launch: what the agent is. `state` is null before the first one was committed."""

    id: str
    agent_id: str
    agent_type: str
    workspace: str
    config: dict[str, Any]
    secrets: dict[str, str]
    state: dict[str, Any] | None


class Message(msgspec.Struct, tag="message", kw_only=True):
    """One attempt at one message; `message_id` names the message, `id` this attempt at it."""

    id: str
    message_id: str
    data: MessageData
    origin: Origin
    attempt: int


class Steer(msgspec.Struct, tag="steer", kw_only=True):
    """Guidance during a turn."""

    id: str
    message_id: str
    content: Any


class Answer(msgspec.Struct, tag="answer", kw_only=True):
    """The answer to a question or a permission request."""

    id: str
    request_id: str
    content: Any


class StopTurn(msgspec.Struct, tag="stop_turn", kw_only=True):
    """End the turn in flight soon."""

    id: str
    message_id: str


class ConfigUpdate(msgspec.Struct, tag="config_update", kw_only=True):
    """Configuration that changed, as a merge document, and where from."""

    id: str
    changes: dict[str, Any]
    source: str


class ToolResponse(msgspec.Struct, tag="tool_response", kw_only=True):
    """The platform's own word on a `tool_request`: why it cannot be put to anybody."""

    id: str
    request_id: str
    content: Any


class IdleCheck(msgspec.Struct, tag="idle_check", kw_only=True):
    """May the agent be put to sleep? Answered by `idle_reply`."""

    id: str


class Shutdown(msgspec.Struct, tag="shutdown", kw_only=True):
    """Run `on_shutdown`, send what is left, then end the process."""

    id: str
    reason: str


class AckN(msgspec.Struct, tag="ack", kw_only=True):
    """All frames of the agent up to `n` have had their effect durably."""

    n: int


class Ping(msgspec.Struct, tag="ping", kw_only=True):
    """Answered by `pong`."""


ToAgent = Init | Message | Steer | Answer | StopTurn | ConfigUpdate | ToolResponse | IdleCheck | Shutdown | AckN | Ping

# ---- agent to coordinator


class Hello(msgspec.Struct, tag="hello", kw_only=True):
    """The first frame on each connection: which launch speaks, the last `n` it gave out, and the frame it works on."""

    protocol: int
    sdk: str
    launch_id: str
    n: int = 0
    turn: str | None = None


class Ready(msgspec.Struct, tag="ready", kw_only=True):
    """The agent is loaded and `on_init` has returned; `phases` are milliseconds of start-up by name."""

    n: int
    phases: dict[str, float] = {}


class StreamUpdate(msgspec.Struct, tag="stream_update", kw_only=True):
    """One piece of output. `element` has a `type`; `spec/events.md` says which event it becomes."""

    n: int
    message_id: str
    element: dict[str, Any]


class StateDelta(msgspec.Struct, tag="state_delta", kw_only=True):
    """Changes of the state document, as JSON Patch; they count when the turn commits."""

    n: int
    message_id: str
    deltas: list[dict[str, Any]]


class Log(msgspec.Struct, tag="log", kw_only=True):
    """One log record; `timestamp` in seconds since 1970."""

    n: int
    level: str
    message: str
    module: str = ""
    timestamp: float = 0.0


class ToolRequest(msgspec.Struct, tag="tool_request", kw_only=True):
    """Ask a person something, by ASK or PERMISSION; answered by `answer`, or by `tool_response` where it cannot be asked.
    WITHDRAW takes a question back that nobody has answered."""

    n: int
    request_id: str
    message_id: str
    kind: str
    content: Any


class Complete(msgspec.Struct, tag="complete", kw_only=True):
    """The hook has returned, `ctx.sql` is committed and closed, everything was sent: the turn may commit."""

    n: int
    message_id: str
    stop_reason: str = "end_turn"
    usage: dict[str, Any] = {}


class IdleReply(msgspec.Struct, tag="idle_reply", kw_only=True):
    """`idle` false defers the sleep; `reason` says why for people."""

    n: int
    idle: bool
    reason: str = ""


class AgentFailure(msgspec.Struct, tag="error", kw_only=True):
    """A hook raised, or the agent could not be loaded (`message_id` null). The process ends after this frame."""

    n: int
    code: str
    message: str
    traceback: str = ""
    message_id: str | None = None


class AckId(msgspec.Struct, tag="ack", kw_only=True):
    """The frame `id` has arrived and will not be forgotten while this process lives."""

    id: str


class Pong(msgspec.Struct, tag="pong", kw_only=True):
    """The answer to `ping`."""


FromAgent = Hello | Ready | StreamUpdate | StateDelta | Log | ToolRequest | Complete | IdleReply | AgentFailure | AckId | Pong

ASK = "question"
PERMISSION = "permission"
WITHDRAW = "withdraw"

HOOK_INIT = "hook:init"
"""`message_id` of what `on_init` sends; `ready` ends it. The coordinator names the turn, if there is one to commit."""
HOOK_IDLE = "hook:idle"
"""The same for `on_idle_timeout`, ended by `idle_reply`."""
HOOK_SHUTDOWN = "hook:shutdown"
"""The same for `on_shutdown`, ended by `complete`; the process ends once that is acknowledged."""

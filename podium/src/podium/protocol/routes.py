"""The one route table: method, path, permission, who answers, bodies and errors. Routing, OpenAPI and tests are made from it."""

import re
from typing import Any, Literal

import msgspec

from podium.protocol import api, errors
from podium.protocol.errors import PodiumError
from podium.protocol.events import Receipt
from podium.protocol.parameters import (
    AFTER,
    AFTER_RECORD,
    AGENT_TYPE,
    AT,
    DEPLOYMENT_CURSOR,
    DEPTH,
    FOLDER,
    FOLLOW,
    HISTORY,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    IF_RANGE,
    INSTANCE_CURSOR,
    LABEL,
    LAST_EVENT_ID,
    LAST_RECORD_ID,
    LEVEL,
    MAX_PAGE,
    MAX_RECORDS,
    MESSAGE_CURSOR,
    MESSAGE_KEY,
    NAMES,
    OFFSET,
    PATH,
    PREFER,
    RANGE,
    SOCKET_KEY,
    STATUS,
    WAIT,
    WAIT_NOT,
    Parameter,
    limit,
)

Owner = Literal["gateway", "coordinator"]


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """One way in which a route succeeds. `body` is the struct of a JSON document; other media types are described by `doc`."""

    status: int = 200
    body: Any = None
    media: str | None = None
    doc: str = ""
    headers: tuple[str, ...] = ()


class Route(msgspec.Struct, kw_only=True, frozen=True):
    """One route. `owner` answers it: the gateway, or the coordinator that owns `{instance_id}`. `built` False answers 501.

    `answers` are all successes, the usual one first; `request` is the struct of the body, `takes` its media type.
    """

    name: str
    method: str
    path: str
    doc: str = ""
    owner: Owner = "gateway"
    permission: str | None = None
    parameters: tuple[Parameter, ...] = ()
    request: Any = None
    takes: str | None = None
    answers: tuple[Answer, ...] = ()
    errors: tuple[type[PodiumError], ...] = ()
    built: bool = True


JSON, SSE, BYTES, FORM = "application/json", "text/event-stream", "application/octet-stream", "multipart/form-data"
ALWAYS = (
    errors.InvalidRequest, errors.TooSlow, errors.TooMany, errors.HeadTooLarge, errors.InternalError, errors.Unavailable,
    errors.NewerFormat,
)  # fmt: skip
"""What any route can answer."""
AUTHENTICATED = (errors.Unauthorized, errors.Forbidden)
"""What any route can answer that needs a key."""
_INSTANCE = "/api/v1/instances/{instance_id}"
_ASLEEP = Answer(status=202, body=api.Instance, doc="It still has to; ask again.")


def _gateway(name: str, method: str, path: str, permission: str | None, doc: str, **rest: Any) -> Route:
    return _route(name, method, path, permission, doc, "gateway", **rest)


def _instance(name: str, method: str, path: str, permission: str, doc: str, **rest: Any) -> Route:
    fails = (errors.NotFound, errors.InstanceReplaced, *rest.pop("fails", ()))
    return _route(name, method, _INSTANCE + path, permission, doc, "coordinator", fails=fails, **rest)


def _route(name: str, method: str, path: str, permission: str | None, doc: str, owner: Owner, **rest: Any) -> Route:
    """A row of the table. `response`, `status` and `media` are the usual answer; `also` the others."""
    usual = Answer(
        status=rest.pop("status", 200), body=rest.pop("response", None), media=rest.pop("media", None),
        doc=rest.pop("gives", ""), headers=rest.pop("headers", ()),
    )  # fmt: skip
    request, takes = rest.pop("request", None), rest.pop("takes", None)
    auth = AUTHENTICATED if permission else ()
    there = tuple(PATH[field] for field in re.findall(r"\{(\w+)(?::path)?\}", path))
    built = rest.pop("built", True)
    return Route(
        name=name, method=method, path=path, doc=doc, permission=permission, owner=owner, request=request,
        takes=takes or (JSON if request else None), parameters=(*there, *rest.pop("query", ())),
        answers=(usual, *rest.pop("also", ())) if built else (), built=built,
        errors=tuple(dict.fromkeys((*ALWAYS, *auth, *rest.pop("fails", ()), *(() if built else (errors.NotAvailable,))))), **rest,
    )  # fmt: skip


_FILE_FAILS = (errors.NotAFile, errors.Conflict, errors.TooMany, errors.IdempotencyMismatch)

# fmt: off
ROUTES: tuple[Route, ...] = (
    _gateway("health", "GET", "/health", None, "The process is alive.", response=api.Health),
    _gateway(
        "ready", "GET", "/ready", None, "Whether requests succeed: discovery, object store and a coordinator are asked.",
        response=api.Health, also=(Answer(status=503, body=api.Health, doc="Not now; `checks` says what does not answer."),),
    ),
    _gateway(
        "metrics", "GET", "/metrics", None, "Counters and histograms of the gateway.", media="text/plain",
        gives="The text format of Prometheus.",
    ),
    _gateway(
        "openapi", "GET", "/openapi.json", None, "This API as an OpenAPI 3.1 document.", response=dict[str, Any],
    ),
    _gateway("docs", "GET", "/docs", None, "This API as a page for people.", media="text/html"),
    # deployments
    _gateway(
        "create_deployment", "POST", "/api/v1/deployments", "deployments:write",
        "Upload a bundle. A version is immutable: the same bytes again are the same deployment.",
        request=api.BundleForm, takes=FORM, response=api.Deployment, status=201, query=(IDEMPOTENCY_KEY,),
        also=(Answer(body=api.Deployment, doc="These bytes were deployed before."),),
        fails=(errors.InvalidBundle, errors.UnsupportedRuntime, errors.TooLarge, errors.VersionExists, errors.Conflict,
               errors.NotAvailable, errors.IdempotencyMismatch),
    ),
    _gateway(
        "list_deployments", "GET", "/api/v1/deployments", "deployments:read", "All deployments, by type and version.",
        response=api.Page[api.Deployment], query=(limit(MAX_PAGE, 50), DEPLOYMENT_CURSOR),
    ),
    _gateway(
        "get_deployment", "GET", "/api/v1/deployments/{deployment_id}", "deployments:read", "One deployment.",
        response=api.Deployment, fails=(errors.NotFound,),
    ),
    _gateway(
        "delete_deployment", "DELETE", "/api/v1/deployments/{deployment_id}", "deployments:write",
        "Remove a deployment that no instance names; its version stays taken.", status=204,
        fails=(errors.NotFound, errors.Conflict),
    ),
    # instances
    _gateway(
        "create_instance", "POST", "/api/v1/instances", "instances:write", "Create an instance of a deployment and start it.",
        request=api.CreateInstance, response=api.Instance, status=201, query=(IDEMPOTENCY_KEY,),
        fails=(errors.NotFound, errors.InstanceExists, errors.IdempotencyMismatch, errors.TooLarge),
    ),
    _gateway(
        "list_instances", "GET", "/api/v1/instances", "instances:read", "Instances in the order of their ids, filtered.",
        response=api.Page[api.Instance], query=(AGENT_TYPE, STATUS, LABEL, limit(MAX_PAGE, 50), INSTANCE_CURSOR),
    ),
    _instance("get_instance", "GET", "", "instances:read", "The instance as it is now.", response=api.Instance),
    _instance(
        "patch_instance", "PATCH", "", "instances:write",
        "Change config, labels or deployment. A running agent is told of its config between turns. The deployment changes at the"
        " next turn boundary, of a sleeping agent when it wakes; where the new one does not get ready, the one before goes on,"
        " and `upgrade` says why.",
        request=api.PatchInstance, response=api.Instance, query=(WAIT, PREFER),
        also=(Answer(status=202, body=api.Instance, doc="The change of the deployment is not over; ask again."),),
        fails=(errors.TooLarge, errors.Conflict),
    ),
    _instance("delete_instance", "DELETE", "", "instances:write", "Stop and remove it; idempotent.", status=204),
    _instance(
        "hibernate", "POST", "/hibernate", "instances:write", "Put it to sleep once its turn has ended.", response=api.Instance,
        query=(WAIT, PREFER), also=(_ASLEEP,),
    ),
    _instance(
        "wake", "POST", "/wake", "instances:write", "Start it where it sleeps.", response=api.Instance, query=(WAIT, PREFER),
        also=(_ASLEEP,), fails=(errors.InstanceFailed,),
    ),
    _instance(
        "restart", "POST", "/restart", "instances:write",
        "End its process and start a new one, between two turns; with `now` at once, and the turn in flight is run again.",
        request=api.RestartInstance, response=api.Instance, query=(WAIT, PREFER, MESSAGE_KEY), also=(_ASLEEP,),
        fails=(errors.InstanceFailed, errors.IdempotencyMismatch, errors.Conflict, errors.TooMany),
    ),
    _instance("move", "POST", "/move", "instances:write", "Move it to another coordinator.", built=False),
    # messages
    _instance(
        "send_message", "POST", "/messages", "messages:write",
        "Send a message. `Accept` chooses: wait for the reply as JSON, or read the events of this message as a stream until its"
        " `complete` or last `error`. A client that leaves cancels nothing; the same id again gives the same reply.",
        request=api.SendMessage, response=api.Reply, query=(WAIT, PREFER, NAMES, MESSAGE_KEY),
        also=(
            Answer(media=SSE, doc="The message's events, see spec/events.md."),
            Answer(status=202, body=api.Queued, doc="Accepted durably, not done yet.", headers=("Location",)),
        ),
        fails=(errors.IdempotencyMismatch, errors.TooLarge, errors.TurnFailed, errors.InstanceFailed),
    ),
    _instance(
        "list_messages", "GET", "/messages", "instances:read", "The history, oldest first.",
        response=api.Page[api.MessageStatus], query=(limit(MAX_PAGE, 50), MESSAGE_CURSOR),
    ),
    _instance(
        "get_message", "GET", "/messages/{message_id}", "instances:read", "One message, and its reply once there.",
        response=api.MessageStatus, query=(WAIT_NOT, PREFER), fails=(errors.InstanceFailed,),
    ),
    _instance(
        "events", "GET", "/events", "instances:read",
        "Every event from a cursor on, as a stream without end; with `Accept: application/json` one finite page.",
        media=SSE, gives="Events, see spec/events.md.", query=(AFTER, LAST_EVENT_ID, NAMES, limit(MAX_RECORDS, 200)),
        also=(Answer(body=api.EventPage, doc="One page; `next_cursor` goes into `after`."),),
    ),
    _instance(
        "steer", "POST", "/steer", "messages:write",
        "Guide the turn in flight, or that of the message which is next. The receipt says `injected`, `queued` or `duplicate`.",
        request=api.Steer, response=Receipt, query=(MESSAGE_KEY,),
        fails=(errors.NoTurn, errors.TooLarge, errors.TooMany, errors.IdempotencyMismatch),
    ),
    _instance(
        "stop", "POST", "/stop", "messages:write",
        "Stop the turn in flight, or the one of `message_id`, which need not have begun. The receipt says `injected` or"
        " `duplicate`.",
        request=api.Stop, response=Receipt, query=(MESSAGE_KEY,),
        fails=(errors.NoTurn, errors.TooLarge, errors.IdempotencyMismatch),
    ),
    _instance(
        "answer", "POST", "/answer", "messages:write",
        "Answer a question or a permission request. The receipt says `injected`, `queued` or `duplicate`.",
        request=api.AnswerQuestion, response=Receipt, query=(MESSAGE_KEY,),
        fails=(errors.AlreadyAnswered, errors.QuestionClosed, errors.TooLarge, errors.IdempotencyMismatch),
    ),
    # what an instance holds
    _instance(
        "state", "GET", "/state", "instances:read", "The state document as of the newest turn.", response=api.StateDocument,
        fails=(errors.NotAvailable,), query=(AT,),
    ),
    _instance(
        "logs", "GET", "/logs", "logs:read",
        "The newest records of the log, oldest first. With `follow` a stream that goes on, across sleep, crash and restart.",
        response=api.Page[api.LogRecord],
        query=(LEVEL, limit(MAX_RECORDS, 100), OFFSET, FOLLOW, AFTER_RECORD, LAST_RECORD_ID), fails=(errors.TooMany,),
        also=(Answer(media=SSE, doc="Records, each with its `id`."),),
    ),
    _instance(
        "list_files", "GET", "/files", "files:read", "Names in the workspace.", response=api.Page[api.FileEntry],
        query=(FOLDER, DEPTH, AT, HISTORY), fails=(errors.TooLarge, errors.NotAvailable, errors.NotAFile, errors.Conflict),
    ),
    _instance(
        "get_file", "GET", "/files/{path:path}", "files:read", "A file's bytes, whole or one range.", media=BYTES,
        gives="The file.", query=(AT, HISTORY, RANGE, IF_NONE_MATCH, IF_RANGE), headers=("ETag", "Accept-Ranges"),
        also=(
            Answer(status=206, media=BYTES, doc="The range.", headers=("ETag", "Content-Range")),
            Answer(status=304, doc="The content is the one you have.", headers=("ETag",)),
            Answer(status=416, doc="The file has no such bytes.", headers=("Content-Range",)),
        ),
        fails=(errors.NotAFile, errors.Conflict, errors.NotAvailable),
    ),
    *(
        _instance(
            name, method, "/files/{path:path}", "files:write", doc, takes=BYTES, response=api.UploadedFile, headers=("ETag",),
            gives="It replaced a file.", query=(WAIT, PREFER, MESSAGE_KEY), also=(
                Answer(status=201, body=api.UploadedFile, doc="It is new.", headers=("ETag",)),
                Answer(status=202, body=api.UploadedFile, doc="It is accepted, durably; it will be put when the turn has ended."),
            ), fails=(*_FILE_FAILS, errors.TooLarge),
        )
        for name, method, doc in (
            (
                "put_file", "PUT",
                "Put a file into the workspace, between two turns; a sleeping agent is not woken. The body is its bytes.",
            ),
            ("post_file", "POST", "As PUT."),
        )
    ),
    _instance(
        "delete_file", "DELETE", "/files/{path:path}", "files:write",
        "Remove a file, between two turns; also where there is none.", status=204, query=(WAIT, PREFER, MESSAGE_KEY),
        also=(Answer(status=202, body=api.UploadedFile, doc="It is accepted, durably; it goes when the turn has ended."),),
        fails=_FILE_FAILS,
    ),
    _instance("checkpoints", "GET", "/checkpoints", "instances:read", "The checkpoints of its turns.", built=False),
    _instance("fork", "POST", "/fork", "instances:write", "A new instance from a checkpoint.", built=False),
    _instance("rewind", "POST", "/rewind", "instances:write", "Back to a checkpoint.", built=False),
    # administration
    _gateway("create_key", "POST", "/api/v1/keys", "admin", "Make a key; it is shown once.", built=False),
    _gateway("list_keys", "GET", "/api/v1/keys", "admin", "All keys, by their prefixes.", built=False),
    _gateway("delete_key", "DELETE", "/api/v1/keys/{key_prefix}", "admin", "Revoke a key.", built=False),
    _gateway(
        "put_secrets", "PUT", "/api/v1/secrets/{agent_type}", "config:write", "Set the secrets of an agent type.", built=False,
    ),
    _gateway("get_secrets", "GET", "/api/v1/secrets/{agent_type}", "admin", "Read the secrets of an agent type.", built=False),
    _gateway(
        "delete_secrets", "DELETE", "/api/v1/secrets/{agent_type}", "config:write", "Remove the secrets of an agent type.",
        built=False,
    ),
    _gateway(
        "get_config", "GET", "/api/v1/config", "instances:read", "The runtime configuration as it was written last.",
        response=dict[str, Any], headers=("ETag",),
    ),
    _gateway(
        "put_config", "PUT", "/api/v1/config", "config:write", "Replace the runtime configuration and tell running agents.",
        request=dict[str, Any], response=dict[str, Any], headers=("ETag",), fails=(errors.TooLarge, errors.Conflict),
    ),
    _gateway(
        "list_models", "GET", "/api/v1/config/models", "instances:read", "What the endpoint for models lists.",
        response=dict[str, Any], fails=(errors.NotConfigured, errors.UpstreamFailed),
    ),
    _gateway(
        "list_coordinators", "GET", "/api/v1/coordinators", "admin", "All coordinators that are known.",
        response=api.Page[api.CoordinatorStatus],
    ),
    _gateway(
        "drain", "POST", "/api/v1/coordinators/{coordinator_id}/drain", "admin", "Move everything off a coordinator.",
        built=False,
    ),
    _gateway(
        "agent_socket", "GET", "/agent/{instance_id}", "instances:read", "The native stream over a WebSocket.", status=101,
        gives="The socket; frames of both directions are in spec/events.md.", query=(AFTER, NAMES, SOCKET_KEY),
        fails=(errors.NotFound, errors.InstanceReplaced),
    ),
)
# fmt: on

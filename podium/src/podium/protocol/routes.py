"""The one route table: method, path, permission, who answers, bodies and errors. Routing, OpenAPI and tests are made from it."""

from typing import Any, Literal

import msgspec

from podium.protocol import api, errors
from podium.protocol.errors import PodiumError

Owner = Literal["gateway", "coordinator"]


class Route(msgspec.Struct, kw_only=True, frozen=True):
    """One route. `owner` answers it: the gateway, or the coordinator that owns `{instance_id}`. `built` False answers 501."""

    name: str
    method: str
    path: str
    owner: Owner = "gateway"
    permission: str | None = None
    request: Any = None
    response: Any = None
    status: int = 200
    errors: tuple[type[PodiumError], ...] = ()
    built: bool = True


_ALWAYS = (errors.InvalidRequest, errors.InternalError, errors.Unavailable)
_INSTANCE = "/api/v1/instances/{instance_id}"


def _gateway(name: str, method: str, path: str, permission: str | None, **rest: Any) -> Route:
    return _route(name, method, path, permission, "gateway", **rest)


def _instance(name: str, method: str, path: str, permission: str, **rest: Any) -> Route:
    return _route(
        name, method, _INSTANCE + path, permission, "coordinator", fails=(errors.NotFound, *rest.pop("fails", ())), **rest
    )


def _route(name: str, method: str, path: str, permission: str | None, owner: Owner, **rest: Any) -> Route:
    fails = rest.pop("fails", ())
    auth = (errors.Unauthorized, errors.Forbidden) if permission else ()
    return Route(
        name=name, method=method, path=path, permission=permission, owner=owner, errors=(*_ALWAYS, *auth, *fails), **rest
    )


# fmt: off
ROUTES: tuple[Route, ...] = (
    _gateway("health", "GET", "/health", None, response=api.Health),
    _gateway("ready", "GET", "/ready", None, response=api.Health),
    _gateway("metrics", "GET", "/metrics", None, built=False),
    _gateway("openapi", "GET", "/openapi.json", None, built=False),
    _gateway("docs", "GET", "/docs", None, built=False),
    # deployments
    _gateway(
        "create_deployment", "POST", "/api/v1/deployments", "deployments:write", response=api.Deployment, status=201,
        fails=(errors.InvalidBundle, errors.UnsupportedRuntime, errors.TooLarge, errors.VersionExists, errors.Conflict,
               errors.NotAvailable),
    ),
    _gateway("list_deployments", "GET", "/api/v1/deployments", "deployments:read", response=api.Page[api.Deployment]),
    _gateway(
        "get_deployment", "GET", "/api/v1/deployments/{deployment_id}", "deployments:read", response=api.Deployment,
        fails=(errors.NotFound,),
    ),
    _gateway(
        "delete_deployment", "DELETE", "/api/v1/deployments/{deployment_id}", "deployments:write", status=204,
        fails=(errors.NotFound, errors.Conflict),
    ),
    # instances
    _gateway(
        "create_instance", "POST", "/api/v1/instances", "instances:write", request=api.CreateInstance, response=api.Instance,
        status=201, fails=(errors.NotFound, errors.InstanceExists, errors.IdempotencyMismatch, errors.TooLarge, errors.TooMany),
    ),
    _gateway("list_instances", "GET", "/api/v1/instances", "instances:read", response=api.Page[api.Instance]),
    _instance("get_instance", "GET", "", "instances:read", response=api.Instance),
    _instance("patch_instance", "PATCH", "", "instances:write", built=False),
    _instance("delete_instance", "DELETE", "", "instances:write", status=204),
    _instance("hibernate", "POST", "/hibernate", "instances:write", response=api.Instance),
    _instance("wake", "POST", "/wake", "instances:write", response=api.Instance, fails=(errors.InstanceFailed,)),
    _instance("restart", "POST", "/restart", "instances:write", built=False),
    _instance("move", "POST", "/move", "instances:write", built=False),
    # messages
    _instance(
        "send_message", "POST", "/messages", "messages:write", request=api.SendMessage, response=api.Reply,
        fails=(
            errors.IdempotencyMismatch, errors.TooLarge, errors.TooMany, errors.TurnFailed, errors.InstanceFailed,
            errors.InstanceReplaced,
        ),
    ),
    _instance("list_messages", "GET", "/messages", "instances:read", response=api.Page[api.MessageStatus]),
    _instance("get_message", "GET", "/messages/{message_id}", "instances:read", response=api.MessageStatus),
    _instance("events", "GET", "/events", "instances:read", fails=(errors.TooMany,)),
    _instance("steer", "POST", "/steer", "messages:write", built=False),
    _instance("stop", "POST", "/stop", "messages:write", built=False),
    _instance("answer", "POST", "/answer", "messages:write", built=False),
    # what an instance holds
    _instance("state", "GET", "/state", "instances:read", response=api.StateDocument),
    _instance("logs", "GET", "/logs", "logs:read", response=api.Page[api.LogRecord]),
    _instance("list_files", "GET", "/files", "files:read", response=api.Page[api.FileEntry], fails=(errors.TooLarge,)),
    _instance("get_file", "GET", "/files/{path:path}", "files:read", fails=(errors.NotAFile, errors.Conflict)),
    _instance("put_file", "PUT", "/files/{path:path}", "files:write", built=False),
    _instance("post_file", "POST", "/files/{path:path}", "files:write", built=False),
    _instance("delete_file", "DELETE", "/files/{path:path}", "files:write", built=False),
    _instance("checkpoints", "GET", "/checkpoints", "instances:read", built=False),
    _instance("fork", "POST", "/fork", "instances:write", built=False),
    _instance("rewind", "POST", "/rewind", "instances:write", built=False),
    # administration
    _gateway("create_key", "POST", "/api/v1/keys", "admin", built=False),
    _gateway("list_keys", "GET", "/api/v1/keys", "admin", built=False),
    _gateway("delete_key", "DELETE", "/api/v1/keys/{key_prefix}", "admin", built=False),
    _gateway("put_secrets", "PUT", "/api/v1/secrets/{agent_type}", "config:write", built=False),
    _gateway("get_secrets", "GET", "/api/v1/secrets/{agent_type}", "admin", built=False),
    _gateway("delete_secrets", "DELETE", "/api/v1/secrets/{agent_type}", "config:write", built=False),
    _gateway("get_config", "GET", "/api/v1/config", "instances:read", response=dict[str, Any]),
    _gateway(
        "put_config", "PUT", "/api/v1/config", "config:write", request=dict[str, Any], response=dict[str, Any],
        fails=(errors.TooLarge, errors.Conflict),
    ),
    _gateway(
        "list_models", "GET", "/api/v1/config/models", "instances:read", response=dict[str, Any],
        fails=(errors.NotConfigured, errors.UpstreamFailed),
    ),
    _gateway("list_coordinators", "GET", "/api/v1/coordinators", "admin", response=api.Page[api.CoordinatorStatus]),
    _gateway("drain", "POST", "/api/v1/coordinators/{coordinator_id}/drain", "admin", built=False),
    _gateway("agent_socket", "GET", "/agent/{instance_id}", "instances:read", built=False),
)
# fmt: on

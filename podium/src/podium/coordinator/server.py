"""The coordinator's HTTP server. Without a caller header signed by our own parts nothing answers but `/health` and `/metrics`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from podium.auth import CALLER_HEADER, Caller, Signer
from podium.coordinator.coordinator import Coordinator
from podium.coordinator.instance import Instance
from podium.coordinator.routes import contents, files, instances, messages, socket, streams, turns
from podium.coordinator.routes.call import Call, Handler
from podium.coordinator.routes.internal import Internal
from podium.protocol.errors import NotAvailable, NotFound
from podium.protocol.parameters import DEFAULT_WAIT_S
from podium.protocol.routes import ROUTES, Route
from podium.server.dispatch import SOCKET, Dispatcher
from podium.server.parameters import Check, checker, unchecked
from podium.server.socket import rejecting
from podium.web import LIFE_HEADER, Endpoint, endpoint, instance_id, json_response, target, wait_s

HANDLERS: dict[str, Handler] = {
    "get_instance": instances.get_instance,
    "hibernate": instances.hibernate,
    "wake": instances.wake,
    "restart": instances.restart,
    "send_message": messages.send_message,
    "list_messages": messages.list_messages,
    "get_message": messages.get_message,
    "steer": turns.steer,
    "stop": turns.stop,
    "answer": turns.answer,
    "events": streams.events,
    "state": contents.state,
    "logs": contents.logs,
    "list_files": contents.list_files,
    "get_file": contents.get_file,
    "put_file": files.put_file,
    "post_file": files.put_file,
    "delete_file": files.delete_file,
}
"""By the route's name in the table. `delete_instance` and `patch_instance` are the coordinator's own."""

_BY_NAME = {route.name: route for route in ROUTES}
_ALIASES = (
    ("/agent/{instance_id}/info", "get_instance"),
    ("/agent/{instance_id}/messages", "list_messages"),
    ("/agent/{instance_id}/messages", "send_message"),
    ("/agent/{instance_id}/logs", "logs"),
    ("/agent/{instance_id}/files/{path:path}", "get_file"),
)
_INTERNAL: tuple[tuple[str, str, Handler, str], ...] = (
    ("GET", "/agent/{instance_id}/stream", streams.stream, "instances:read"),
    ("POST", "/agent/{instance_id}/frames", socket.take_frame, "messages:write"),
)
"""Both directions of a WebSocket that a gateway holds."""


def make_app(coordinator: Coordinator, signer: Signer) -> Dispatcher:
    """The ASGI application of one coordinator."""
    return _Server(coordinator, signer).app()


class _Server:
    def __init__(self, coordinator: Coordinator, signer: Signer) -> None:
        self._coordinator = coordinator
        self._signer = signer

    def app(self) -> Dispatcher:
        app, internal = Dispatcher(metrics=self._coordinator.host.metrics.http), Internal(self._coordinator)
        for route in ROUTES:
            if route.owner == "coordinator":
                app.add(route.method, route.path, self._endpoint(route))
        for path, name in _ALIASES:
            app.add(_BY_NAME[name].method, path, self._endpoint(_BY_NAME[name]))
        for method, path, handler, permission in _INTERNAL:
            app.add(method, path, self._instance(handler, permission))
        app.add(SOCKET, "/agent/{instance_id}", self._connect)
        app.add("GET", "/health", endpoint(internal.health))
        app.add("GET", "/metrics", endpoint(internal.metrics))
        app.add("GET", "/admin/status", self._signed(internal.report))
        app.add("POST", "/instances", self._signed(internal.create))
        app.add("POST", "/deploy/agent", self._signed(internal.deploy))
        return app

    def _endpoint(self, route: Route) -> Endpoint:
        if route.name == "delete_instance":
            return endpoint(self._delete)
        if route.name == "patch_instance":
            return endpoint(self._follow)
        if not route.built:
            return self._signed(_not_available)
        return self._instance(HANDLERS[route.name], route.permission or "", checker(route))

    def _signed(self, handler: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            self._caller(request)
            return await handler(request)

        return endpoint(checked)

    def _instance(self, handler: Handler, permission: str, check: Check = unchecked) -> Endpoint:
        async def checked(request: Request) -> Response:
            async with self._called(request, permission, check) as (caller, instance):
                return await handler(Call(request, caller, instance))

        return endpoint(checked)

    async def _connect(self, websocket: WebSocket) -> None:
        async with rejecting(websocket) as request_id, self._called(websocket, "instances:read") as (caller, instance):
            await socket.connect(websocket, caller, instance, request_id)

    @asynccontextmanager
    async def _called(
        self, connection: HTTPConnection, permission: str, check: Check = unchecked
    ) -> AsyncIterator[tuple[Caller, Instance]]:
        """The caller, who may, and the instance of its tenant, loaded."""
        caller = self._caller(connection)
        caller.require(permission)
        check(connection)
        async with self._coordinator.using(instance_id(connection), _life(connection)) as instance:
            _in_tenant(caller, instance)
            yield caller, instance

    async def _delete(self, request: Request) -> Response:
        caller = self._caller(request)
        caller.require(_BY_NAME["delete_instance"].permission or "")
        name = instance_id(request)
        life = _life(request)
        try:
            async with self._coordinator.using(name, life) as instance:
                theirs = _is_theirs(caller, instance)
        except NotFound:
            theirs = True  # deleted before: finish what that one may have left
        if not theirs:
            raise NotFound(f"there is no instance {name}")
        await self._coordinator.delete(name, life)
        return Response(status_code=204)

    async def _follow(self, request: Request) -> Response:
        """The record of an instance was changed: 202 where a change of the deployment is not over."""
        route = _BY_NAME["patch_instance"]
        async with self._called(request, route.permission or "", checker(route)) as (_, instance):
            await self._coordinator.refresh(instance, wait_s(request, DEFAULT_WAIT_S))
            found = await instances.describe(instance)
        pending = instance.awake and found.upgrade is not None and found.upgrade.status == "pending"
        return json_response(found, 202 if pending else 200)

    def _caller(self, connection: HTTPConnection) -> Caller:
        method = connection.scope.get("method", "GET")  # a WebSocket begins as a GET
        return self._signer.verify(connection.headers.get(CALLER_HEADER, ""), method, target(connection))


def _life(request: HTTPConnection) -> int | None:
    text = request.headers.get(LIFE_HEADER, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _in_tenant(caller: Caller, instance: Instance) -> None:
    if not _is_theirs(caller, instance):
        raise NotFound(f"there is no instance {instance.spec.instance_id}")


def _is_theirs(caller: Caller, instance: Instance) -> bool:
    return caller.admin or caller.tenant_id == instance.spec.tenant_id


async def _not_available(request: Request) -> Response:
    raise NotAvailable(f"{request.method} {request.url.path} is part of the contract but not built yet")

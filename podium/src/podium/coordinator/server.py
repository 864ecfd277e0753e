"""The coordinator's HTTP server. Nothing answers without a caller header signed by our own parts, but for `/health`."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from podium.auth import CALLER_HEADER, Caller, Signer
from podium.coordinator.coordinator import Coordinator
from podium.coordinator.routes import contents, instances, messages
from podium.coordinator.routes.call import Call, Handler
from podium.coordinator.routes.internal import Internal
from podium.protocol.errors import NotAvailable, NotFound
from podium.protocol.ids import INSTANCE_ID
from podium.protocol.routes import ROUTES, Route
from podium.web import endpoint, http_error

LIFE_HEADER = "x-podium-life"

HANDLERS: dict[str, Handler] = {
    "get_instance": instances.get_instance,
    "hibernate": instances.hibernate,
    "wake": instances.wake,
    "send_message": messages.send_message,
    "list_messages": messages.list_messages,
    "get_message": messages.get_message,
    "events": contents.events,
    "state": contents.state,
    "logs": contents.logs,
    "list_files": contents.list_files,
    "get_file": contents.get_file,
}
"""By the route's name in the table. `delete_instance` is the coordinator's own: it unloads what the others need loaded."""

_ALIASES = {
    "/agent/{instance_id}/info": "get_instance",
    "/agent/{instance_id}/logs": "logs",
    "/agent/{instance_id}/files/{path:path}": "get_file",
}


def make_app(coordinator: Coordinator, signer: Signer) -> Starlette:
    """The ASGI application of one coordinator."""
    return _Server(coordinator, signer).app()


class _Server:
    def __init__(self, coordinator: Coordinator, signer: Signer) -> None:
        self._coordinator = coordinator
        self._signer = signer

    def app(self) -> Starlette:
        internal = Internal(self._coordinator)
        routes = [self._route(route) for route in ROUTES if route.owner == "coordinator"]
        routes += [
            HttpRoute("/health", endpoint(internal.health), methods=["GET"]),
            HttpRoute("/admin/status", self._signed(internal.report), methods=["GET"]),
            HttpRoute("/instances", self._signed(internal.create), methods=["POST"]),
            HttpRoute("/deploy/agent", self._signed(internal.deploy), methods=["POST"]),
            HttpRoute("/agent/{instance_id}/messages", self._instance("list_messages", "instances:read"), methods=["GET"]),
            HttpRoute("/agent/{instance_id}/messages", self._instance("send_message", "messages:write"), methods=["POST"]),
            *(HttpRoute(path, self._instance(name, _permission(name)), methods=["GET"]) for path, name in _ALIASES.items()),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: http_error})

    def _route(self, route: Route) -> HttpRoute:
        if route.name == "delete_instance":
            handler = self._signed(self._delete)
        elif route.built:
            handler = self._instance(route.name, route.permission or "")
        else:
            handler = self._signed(_not_available)
        return HttpRoute(route.path, handler, methods=[route.method])

    def _signed(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            self._caller(request)
            return await handler(request)

        return endpoint(checked)

    def _instance(self, name: str, permission: str) -> Callable[[Request], Awaitable[Response]]:
        handler = HANDLERS[name]

        async def checked(request: Request) -> Response:
            caller = self._caller(request)
            caller.require(permission)
            instance_id = _instance_id(request)
            async with self._coordinator.using(instance_id, _life(request)) as instance:
                _in_tenant(caller, instance_id, instance.spec.tenant_id)
                return await handler(Call(request, caller, instance))

        return endpoint(checked)

    async def _delete(self, request: Request) -> Response:
        caller = self._caller(request)
        caller.require("instances:write")
        instance_id = _instance_id(request)
        try:
            async with self._coordinator.using(instance_id) as instance:
                _in_tenant(caller, instance_id, instance.spec.tenant_id)
        except NotFound:
            pass  # deleted before: finish what that one may have left
        await self._coordinator.delete(instance_id)
        return Response(status_code=204)

    def _caller(self, request: Request) -> Caller:
        query = request.scope["query_string"]
        target = request.scope["raw_path"].decode("ascii") + (f"?{query.decode('ascii')}" if query else "")
        return self._signer.verify(request.headers.get(CALLER_HEADER, ""), request.method, target)


def _permission(name: str) -> str:
    return next(route.permission or "" for route in ROUTES if route.name == name)


def _instance_id(request: Request) -> str:
    instance_id = str(request.path_params["instance_id"])
    if not INSTANCE_ID.fullmatch(instance_id):
        raise NotFound("there is no instance of that name")
    return instance_id


def _life(request: Request) -> int | None:
    text = request.headers.get(LIFE_HEADER, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _in_tenant(caller: Caller, instance_id: str, tenant_id: str) -> None:
    if not caller.admin and caller.tenant_id != tenant_id:
        raise NotFound(f"there is no instance {instance_id}")


async def _not_available(request: Request) -> Response:
    raise NotAvailable(f"{request.method} {request.url.path} is part of the contract but not built yet")

"""The coordinator's HTTP server. Nothing answers without a caller header signed by our own parts, but for `/health`."""

from starlette.requests import Request
from starlette.responses import Response

from podium.auth import CALLER_HEADER, Caller, Signer
from podium.coordinator.coordinator import Coordinator
from podium.coordinator.instance import Instance
from podium.coordinator.routes import contents, instances, messages
from podium.coordinator.routes.call import Call, Handler
from podium.coordinator.routes.internal import Internal
from podium.protocol.errors import NotAvailable, NotFound
from podium.protocol.routes import ROUTES, Route
from podium.server.dispatch import Dispatcher
from podium.web import LIFE_HEADER, Endpoint, endpoint, instance_id, target

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

_BY_NAME = {route.name: route for route in ROUTES}
_ALIASES = (
    ("/agent/{instance_id}/info", "get_instance"),
    ("/agent/{instance_id}/messages", "list_messages"),
    ("/agent/{instance_id}/messages", "send_message"),
    ("/agent/{instance_id}/logs", "logs"),
    ("/agent/{instance_id}/files/{path:path}", "get_file"),
)


def make_app(coordinator: Coordinator, signer: Signer) -> Dispatcher:
    """The ASGI application of one coordinator."""
    return _Server(coordinator, signer).app()


class _Server:
    def __init__(self, coordinator: Coordinator, signer: Signer) -> None:
        self._coordinator = coordinator
        self._signer = signer

    def app(self) -> Dispatcher:
        app, internal = Dispatcher(), Internal(self._coordinator)
        for route in ROUTES:
            if route.owner == "coordinator":
                app.add(route.method, route.path, self._endpoint(route))
        for path, name in _ALIASES:
            app.add(_BY_NAME[name].method, path, self._endpoint(_BY_NAME[name]))
        app.add("GET", "/health", endpoint(internal.health))
        app.add("GET", "/admin/status", self._signed(internal.report))
        app.add("POST", "/instances", self._signed(internal.create))
        app.add("POST", "/deploy/agent", self._signed(internal.deploy))
        return app

    def _endpoint(self, route: Route) -> Endpoint:
        if route.name == "delete_instance":
            return endpoint(self._delete)
        return self._instance(route) if route.built else self._signed(_not_available)

    def _signed(self, handler: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            self._caller(request)
            return await handler(request)

        return endpoint(checked)

    def _instance(self, route: Route) -> Endpoint:
        handler, permission = HANDLERS[route.name], route.permission or ""

        async def checked(request: Request) -> Response:
            caller = self._caller(request)
            caller.require(permission)
            async with self._coordinator.using(instance_id(request), _life(request)) as instance:
                _in_tenant(caller, instance)
                return await handler(Call(request, caller, instance))

        return endpoint(checked)

    async def _delete(self, request: Request) -> Response:
        caller = self._caller(request)
        caller.require(_BY_NAME["delete_instance"].permission or "")
        name = instance_id(request)
        try:
            async with self._coordinator.using(name) as instance:
                _in_tenant(caller, instance)
        except NotFound:
            pass  # deleted before: finish what that one may have left
        await self._coordinator.delete(name)
        return Response(status_code=204)

    def _caller(self, request: Request) -> Caller:
        return self._signer.verify(request.headers.get(CALLER_HEADER, ""), request.method, target(request))


def _life(request: Request) -> int | None:
    text = request.headers.get(LIFE_HEADER, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _in_tenant(caller: Caller, instance: Instance) -> None:
    if not caller.admin and caller.tenant_id != instance.spec.tenant_id:
        raise NotFound(f"there is no instance {instance.spec.instance_id}")


async def _not_available(request: Request) -> Response:
    raise NotAvailable(f"{request.method} {request.url.path} is part of the contract but not built yet")

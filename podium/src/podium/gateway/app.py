"""The gateway's application: the one route table, each route with its permission, its handler or the proxy."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

from podium.auth import Caller, Keys, Signer
from podium.cluster.port import Cluster
from podium.deployments.bundle import BundleLimits
from podium.deployments.registry import Registry
from podium.deployments.removal import Removal
from podium.gateway.ensemble import Ensemble
from podium.gateway.patch import Patch
from podium.gateway.proxy import Proxy
from podium.gateway.router import Router
from podium.gateway.routes.configuration import ConfigurationRoutes
from podium.gateway.routes.deployments import Deployments
from podium.gateway.routes.instances import InstanceRoutes
from podium.gateway.routes.platform import Platform
from podium.gateway.routes.sockets import AgentSockets
from podium.gateway.uploads import received
from podium.gateway.upstream import Upstream
from podium.objectstore.port import ObjectStore
from podium.protocol.api import PatchInstance
from podium.protocol.errors import NotAvailable
from podium.protocol.routes import BYTES, ROUTES, Route
from podium.records.configuration import Configurations
from podium.records.instances import Instances
from podium.records.requests import Requests
from podium.sealing import Sealer
from podium.server.dispatch import SOCKET, Dispatcher
from podium.server.metrics import HttpMetrics
from podium.server.parameters import checker
from podium.web import Endpoint, authorization, decode, endpoint, instance_id, read_body

_SOCKET = next(route for route in ROUTES if route.name == "agent_socket")
CalledHandler = Callable[[Request, Caller], Awaitable[Response]]


class Gateway:
    """Joins the gateway's parts to the route table. `start` inside the event loop, `close` at its end."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        cluster: Cluster,
        keys: Keys,
        signer: Signer,
        sealer: Sealer,
        ensemble: Ensemble,
        environment: str,
        bundle_limits: BundleLimits,
        max_message_bytes: int,
        max_upload_bytes: int,
        frames_per_s: float,
        max_sockets: int,
        metrics: HttpMetrics,
    ) -> None:
        self._keys = keys
        self._max_message_bytes = max_message_bytes
        self._max_upload_bytes = max_upload_bytes
        records = Instances(store, environment)
        registry = Registry(store, environment)
        self._upstream = Upstream(signer)
        self._ensemble = ensemble
        router = Router(cluster, records)
        requests = Requests(store, environment, sealer)
        instances = InstanceRoutes(records, requests, registry, router, self._upstream, sealer, max_message_bytes)
        deployments = Deployments(registry, Removal(store, environment, registry, records), requests, bundle_limits)
        platform = Platform(cluster, store, router, self._upstream, environment, metrics)
        configuration = ConfigurationRoutes(Configurations(store, environment), cluster, self._ensemble)
        self._patch = Patch(records, registry)
        self._proxy = Proxy(router, self._upstream, instances.place, max_message_bytes)
        self._sockets = AgentSockets(keys, self._proxy, max_message_bytes, frames_per_s, max_sockets)
        self._open: dict[str, Endpoint] = {
            "health": platform.health,
            "ready": platform.ready,
            "metrics": platform.metrics,
            "openapi": platform.openapi,
            "docs": platform.docs,
        }
        self._called: dict[str, CalledHandler] = {
            "create_deployment": deployments.create,
            "list_deployments": deployments.list,
            "get_deployment": deployments.get,
            "delete_deployment": deployments.delete,
            "create_instance": instances.create,
            "list_instances": instances.list,
            "get_config": configuration.get,
            "put_config": configuration.put,
            "list_models": configuration.models,
            "list_coordinators": platform.coordinators,
            "agent_socket": self._sockets.refuse,
        }

    def add_routes(self, app: Dispatcher) -> None:
        """One route of the server for each of the table."""
        for route in ROUTES:
            app.add(route.method, route.path, self._endpoint(route))
        app.add(SOCKET, _SOCKET.path, self._sockets.connect)

    async def close(self) -> None:
        """Drop the connections to coordinators."""
        await self._upstream.close()
        await self._ensemble.close()

    def _endpoint(self, route: Route) -> Endpoint:
        if route.name in self._open:
            return endpoint(self._open[route.name])

        check = checker(route)

        async def answer(request: Request) -> Response:
            caller = self._keys.caller(authorization(request), request.state.request_id)
            if route.permission:
                caller.require(route.permission)
            if not route.built:
                raise NotAvailable(f"{route.method} {route.path} is part of the contract but not built yet")
            check(request)
            if route.name == "patch_instance":
                return await self._change(request, caller)
            if route.takes == BYTES:
                check(request)
                async with received(request, self._max_upload_bytes) as body:
                    return await self._proxy.forward(request, caller, instance_id(request), body)
            if route.owner == "coordinator":
                return await self._proxy.forward(request, caller, instance_id(request))
            return await self._called[route.name](request, caller)

        return endpoint(answer)

    async def _change(self, request: Request, caller: Caller) -> Response:
        """The record first, which is ours to write; then its owner, which follows it."""
        body = await read_body(request, self._max_message_bytes)
        await self._patch.apply(caller, instance_id(request), decode(body, PatchInstance))
        return await self._proxy.forward(request, caller, instance_id(request), body)


def make_app(make_gateway: Callable[[HttpMetrics], Gateway]) -> Dispatcher:
    """The ASGI application of one gateway, which is made when the event loop runs."""

    metrics = HttpMetrics()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        gateway = make_gateway(metrics)
        gateway.add_routes(app)
        try:
            yield
        finally:
            await gateway.close()

    app = Dispatcher(lifespan, metrics)
    return app

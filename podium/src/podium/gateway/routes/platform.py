"""Health, readiness, coordinators."""

from functools import cache

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from podium.auth import Caller
from podium.cluster.port import Cluster
from podium.gateway.router import Router
from podium.gateway.upstream import Upstream
from podium.objectstore.port import ObjectStore
from podium.protocol import api
from podium.reference import POLICY, api_html, openapi
from podium.server.metrics import HttpMetrics
from podium.web import json_response

_KEPT = {"cache-control": "max-age=300"}


class Platform:
    """Handlers that look at the parts around the gateway."""

    def __init__(
        self, cluster: Cluster, store: ObjectStore, router: Router, upstream: Upstream, environment: str, metrics: HttpMetrics
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._router = router
        self._upstream = upstream
        self._environment = environment
        self._metrics = metrics

    async def health(self, request: Request) -> Response:
        """The process is alive."""
        return json_response(api.Health(status="ok"))

    async def ready(self, request: Request) -> Response:
        """200 when requests succeed: discovery, object store and a coordinator answer. Else 503 with what does not."""
        checks = {
            "valkey": await _check(self._cluster.ping()),
            "object_store": await _check(self._store.get(f"{self._environment}/ready")),
            "coordinator": await _check(self._any_coordinator()),
        }
        ready = all(said == "ok" for said in checks.values())
        return json_response(api.Health(status="ok" if ready else "unavailable", checks=checks), 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Counters, for Prometheus."""
        return self._metrics.page()

    async def openapi(self, request: Request) -> Response:
        """The API as a document for programs."""
        return Response(_openapi(), media_type="application/json", headers=_KEPT)

    async def docs(self, request: Request) -> Response:
        """The API as a page for people."""
        return HTMLResponse(api_html(), headers=_KEPT | {"content-security-policy": POLICY, "x-content-type-options": "nosniff"})

    async def coordinators(self, request: Request, caller: Caller) -> Response:
        """All that are known."""
        items = [
            api.CoordinatorStatus(
                coordinator_id=info.coordinator_id, url=info.url, load=info.load, capacity=info.capacity, draining=info.draining
            )
            for info in await self._router.coordinators()
        ]
        return json_response(api.Page(items=items))

    async def _any_coordinator(self) -> None:
        known = await self._router.coordinators()
        if not known:
            raise ConnectionError("none is known")
        caller = Caller(tenant_id="platform", admin=True)
        await self._upstream.call(caller, "GET", known[0].url, "/admin/status")


@cache
def _openapi() -> bytes:
    return msgspec.json.encode(openapi())


async def _check(probe) -> str:  # type: ignore[no-untyped-def]
    try:
        await probe
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return f"{type(error).__name__}: {error}"
    return "ok"

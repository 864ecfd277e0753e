"""Creating and listing instances."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from podium.auth import Caller
from podium.deployments.registry import Deployment, Registry
from podium.gateway import placement
from podium.gateway.router import Router
from podium.gateway.upstream import Upstream
from podium.protocol import api
from podium.protocol.errors import InstanceExists, NotFound
from podium.protocol.ids import INSTANCE_ID, MESSAGE_ID, checked, new_id
from podium.protocol.parameters import MAX_PAGE
from podium.records.bounds import checked_config, checked_environment, checked_labels, checked_secrets
from podium.records.instances import Instances, Spec, secrets_belong_to
from podium.records.requests import Requests
from podium.sealing import Sealer
from podium.web import decode, json_response, query_int, read_body


class InstanceRoutes:
    """Handlers over the records and the coordinators."""

    def __init__(
        self,
        records: Instances,
        requests: Requests,
        registry: Registry,
        router: Router,
        upstream: Upstream,
        sealer: Sealer,
        max_body_bytes: int,
    ) -> None:
        self._records = records
        self._requests = requests
        self._registry = registry
        self._router = router
        self._upstream = upstream
        self._sealer = sealer
        self._max_body_bytes = max_body_bytes

    async def create(self, request: Request, caller: Caller) -> Response:
        """Write what the instance should be, then give it to a coordinator."""
        raw = await read_body(request, self._max_body_bytes)
        body = _checked(decode(raw, api.CreateInstance))
        deployment = await self._registry.get(body.deployment_id, caller.tenant_id)
        chosen = checked("agent_id", INSTANCE_ID, body.agent_id) if body.agent_id is not None else new_id("agent")
        key = request.headers.get("idempotency-key")
        if key is not None:
            checked("Idempotency-Key", MESSAGE_ID, key)
            chosen = await self._requests.choose(caller.tenant_id, "create_instance", key, raw, chosen)
        spec = Spec(
            instance_id=chosen, tenant_id=caller.tenant_id, deployment_id=deployment.deployment_id, config=body.config,
            labels=body.labels, created_at=datetime.now(UTC), request_id=key or new_id("req"),
            environment=body.environment or {}, secrets=await self._sealed(body.secrets, caller.tenant_id, chosen),
        )  # fmt: skip
        placement.choose(await self._router.coordinators())  # refuse before anything is written
        await self._write(spec)
        await self._require_kept(deployment, chosen)
        return json_response(await self.place(caller, chosen), 201)

    async def list(self, request: Request, caller: Caller) -> Response:
        """Instances in order of their ids, filtered."""
        limit = query_int(request, "limit", 50, 1, MAX_PAGE)
        wanted = _Filter(request, caller)
        statuses = await self._statuses(caller)
        items: list[api.Instance] = []
        last = request.query_params.get("cursor", "")
        async for instance_id in self._records.ids(last):
            found = await self._records.spec(instance_id)
            status = statuses.get(instance_id, "hibernated")
            if found is None or not wanted.matches(found.record, status):
                continue
            if len(items) == limit:
                return json_response(api.Page(items=items, next_cursor=last))
            items.append(_summary(found.record, status))
            last = instance_id
        return json_response(api.Page(items=items))

    async def place(self, caller: Caller, instance_id: str) -> Any:
        """Give an instance whose spec is written to a coordinator: to its owner if it has one. Its public body."""
        owner = await self._records.owner(instance_id)
        known = await self._router.coordinators()
        if owner and not owner.record.deleted:
            known = [info for info in known if info.coordinator_id == owner.record.coordinator_id]
        target = placement.choose(known)
        self._router.forget(instance_id)
        return await self._upstream.call(caller, "POST", target.url, "/instances", {"instance_id": instance_id})

    async def _require_kept(self, deployment: Deployment, instance_id: str) -> None:
        """NotFound where the deployment is being removed, unless the instance lives already: then it was asked before."""
        owner = await self._records.owner(instance_id)
        if owner and not owner.record.deleted:
            return
        try:
            await self._registry.require_kept(deployment)
        except NotFound:
            await self._records.forget_spec(instance_id)
            raise

    async def _sealed(self, secrets: dict[str, str] | None, tenant_id: str, instance_id: str) -> str | None:
        """Secrets as they are stored. Which life they are for is known before its owner is: the one after a tombstone's."""
        if not secrets:
            return None
        owner = await self._records.owner(instance_id)
        life = 1 if owner is None else owner.record.epoch + 1 if owner.record.deleted else owner.record.life
        return self._sealer.seal(msgspec.json.encode(secrets), *secrets_belong_to(tenant_id, instance_id, life))

    async def _write(self, spec: Spec) -> None:
        """Create-only; a repeat of the same request finds its own, a deleted instance's leftover is replaced."""
        key = self._records.spec_key(spec.instance_id)
        if await self._records.specs.create(key, spec):
            return
        found = await self._records.spec(spec.instance_id)
        owner = await self._records.owner(spec.instance_id)
        if found and found.record.request_id == spec.request_id and found.record.tenant_id == spec.tenant_id:
            return
        if found and owner and owner.record.deleted and await self._records.specs.replace(key, spec, found.etag):
            return
        raise InstanceExists(f"there is an instance {spec.instance_id} already: choose another agent_id or delete it first")

    async def _statuses(self, caller: Caller) -> dict[str, str]:
        calls = [self._upstream.call(caller, "GET", info.url, "/admin/status") for info in await self._router.coordinators()]
        reports = await asyncio.gather(*calls, return_exceptions=True)
        return {
            instance_id: status
            for report in reports
            if isinstance(report, dict)
            for instance_id, status in report["instances"].items()
        }


def _checked(body: api.CreateInstance) -> api.CreateInstance:
    """The body within its bounds. InvalidRequest, TooLarge; they never tell a value."""
    body.config = checked_config(body.config)
    checked_labels(body.labels)
    checked_secrets(body.secrets or {})
    checked_environment(body.environment or {})
    return body


class _Filter:
    def __init__(self, request: Request, caller: Caller) -> None:
        self._tenant_id = None if caller.admin else caller.tenant_id
        self._agent_type = request.query_params.get("agent_type")
        self._status = request.query_params.get("status")
        self._labels = [label.partition("=") for label in request.query_params.getlist("label")]

    def matches(self, spec: Spec, status: str) -> bool:
        return (
            self._tenant_id in (None, spec.tenant_id)
            and self._agent_type in (None, spec.deployment_id.partition(":")[0])
            and self._status in (None, status)
            and all(name in spec.labels and (not eq or spec.labels[name] == value) for name, eq, value in self._labels)
        )


def _summary(spec: Spec, status: str) -> api.Instance:
    return api.Instance(
        instance_id=spec.instance_id, agent_id=spec.instance_id, deployment_id=spec.deployment_id, status=status,
        created_at=spec.created_at, labels=spec.labels,
    )  # fmt: skip

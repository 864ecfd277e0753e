"""Deployments: upload, list, get, remove."""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from podium.auth import Caller
from podium.deployments.bundle import BundleLimits
from podium.deployments.registry import Deployment, Registry, file_sha256
from podium.deployments.removal import Removal
from podium.protocol import api
from podium.protocol.errors import InvalidRequest, TooLarge
from podium.protocol.parameters import MAX_PAGE
from podium.records.requests import Requests
from podium.web import json_response, query_int

FORM_OVERHEAD_BYTES = 64 * 1024


class Deployments:
    """Handlers over the registry."""

    def __init__(self, registry: Registry, removal: Removal, requests: Requests, limits: BundleLimits) -> None:
        self._registry = registry
        self._requests = requests
        self._removal = removal
        self._limits = limits

    async def create(self, request: Request, caller: Caller) -> Response:
        """201 for a new deployment, 200 for the same bytes again."""
        with tempfile.TemporaryDirectory(prefix="podium-upload-") as folder:
            bundle = Path(folder) / "bundle.tar.gz"
            agent_type, version = await self._receive(request, bundle)
            if (key := request.headers.get("idempotency-key")) is not None:
                sent = f"{agent_type}\n{version}\n{await asyncio.to_thread(file_sha256, bundle)}".encode()
                await self._requests.choose(caller.tenant_id, "create_deployment", key, sent, version)
            deployment, created = await self._registry.publish(
                bundle, agent_type=agent_type, version=version, tenant_id=caller.tenant_id, limits=self._limits,
                now=datetime.now(UTC),
            )  # fmt: skip
        return json_response(public(deployment), 201 if created else 200)

    async def list(self, request: Request, caller: Caller) -> Response:
        """All deployments the caller may use."""
        limit = query_int(request, "limit", 50, 1, MAX_PAGE)
        items, following = await self._registry.list(caller.tenant_id, limit=limit, cursor=request.query_params.get("cursor"))
        return json_response(api.Page(items=[public(item) for item in items], next_cursor=following))

    async def get(self, request: Request, caller: Caller) -> Response:
        """One, by `type`, `type:version` or its full id."""
        return json_response(public(await self._registry.get(request.path_params["deployment_id"], caller.tenant_id)))

    async def delete(self, request: Request, caller: Caller) -> Response:
        """Remove one that no instance names, by `type:version` or its full id."""
        await self._removal.remove(request.path_params["deployment_id"], caller.tenant_id)
        return Response(status_code=204)

    async def _receive(self, request: Request, target: Path) -> tuple[str, str]:
        """Store the form's file; its agent_type and version."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise InvalidRequest("send the bundle as multipart/form-data with file, agent_type and version")
        parser = MultiPartParser(request.headers, _bounded(request, self._limits.compressed_bytes), max_files=1, max_fields=8)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise InvalidRequest(f"the form cannot be read: {error.message}") from None
        file, agent_type, version = form.get("file"), form.get("agent_type"), form.get("version")
        if not (isinstance(file, UploadFile) and isinstance(agent_type, str) and isinstance(version, str)):
            await form.close()
            raise InvalidRequest("the form needs file, agent_type and version")
        try:
            with target.open("wb") as out:
                while chunk := await file.read(1024 * 1024):
                    out.write(chunk)
        finally:
            await form.close()
        return agent_type, version


async def _bounded(request: Request, limit_bytes: int):  # type: ignore[no-untyped-def]
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes + FORM_OVERHEAD_BYTES:
            raise TooLarge(f"the bundle is larger than {limit_bytes} bytes", limit=limit_bytes)
        yield chunk


def public(deployment: Deployment) -> api.Deployment:
    """The public body of a deployment."""
    return api.Deployment(
        deployment_id=deployment.deployment_id, agent_type=deployment.agent_type, version=deployment.version,
        checksum=deployment.checksum, size_bytes=deployment.size_bytes, created_at=deployment.created_at,
        runtime=deployment.manifest.agent.runtime,
    )  # fmt: skip

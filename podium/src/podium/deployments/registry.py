"""The registry of deployments: bundles and their records in the object store. A version is immutable.

A publication claims the agent type, puts the bundle, then the record, each create-only; the record is the deployment. A crash in
between leaves a bundle without a record, and the same upload again completes it. Of two uploads of one version one wins.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from podium.auth import PLATFORM_TENANT
from podium.deployments.bundle import Bundle, BundleLimits, inspect_bundle
from podium.deployments.manifest import Manifest
from podium.deployments.names import Keys, Reference, newest, next_version, parse_reference, precedence
from podium.objectstore.port import AlreadyExists, ObjectStore
from podium.protocol.errors import Conflict, InvalidBundle, InvalidRequest, NotAvailable, NotFound, Unavailable, VersionExists
from podium.protocol.ids import DeploymentId
from podium.records.record import Record, Records

DIGEST_CHARS = 8
MAX_PAGE = 1000
_SHOWN_VERSIONS = 5


class Deployment(Record, kw_only=True):
    """The record of a deployment. `checksum` is `sha256:` and 64 hex digits; `tenant_id` is who uploaded it."""

    deployment_id: str
    agent_type: str
    version: str
    checksum: str
    size_bytes: int
    created_at: datetime
    tenant_id: str
    manifest: Manifest


class TypeOwner(Record, kw_only=True):
    """Whose an agent type is: the tenant that first deployed it, or the platform."""

    agent_type: str
    tenant_id: str


class RemovalMark(Record, kw_only=True):
    """A version that is being removed, or was: it may come back with the same bytes only."""

    checksum: str


class Registry:
    """The deployments of one environment. OSError where the store cannot be reached; NewerFormat for a newer release's record."""

    def __init__(self, store: ObjectStore, environment: str) -> None:
        self._store = store
        self.keys = Keys(environment)
        self._records = Records(store, Deployment)
        self._owners = Records(store, TypeOwner)
        self._marks = Records(store, RemovalMark)

    async def publish(
        self, path: Path, *, agent_type: str, version: str, tenant_id: str, limits: BundleLimits, now: datetime
    ) -> tuple[Deployment, bool]:
        """Publish the bundle at `path`; the deployment, and whether it is new: the same bytes again are the same deployment.

        InvalidBundle, UnsupportedRuntime and TooLarge for the bundle, Conflict where the agent type is somebody else's,
        VersionExists (with `next_version`) where the version has other bytes.
        """
        bundle = await asyncio.to_thread(inspect_bundle, path, limits)
        _check_kept(bundle.manifest)
        agent = bundle.manifest.agent
        _check_agrees("agent_type", agent_type, "agent.type", agent.type)
        _check_agrees("version", version, "agent.version", agent.version)
        await self._claim(agent.type, tenant_id)
        deployment = _deployment(bundle, tenant_id, now)
        await self._revive(deployment)
        found = await self._records.read(self.keys.record(agent.type, agent.version))
        if found is None:
            await self._put_bundle(path, deployment)
            if await self._records.create(self.keys.record(agent.type, agent.version), deployment):
                return deployment, True
            found = await self._records.read(self.keys.record(agent.type, agent.version))
        if found is None:
            raise Unavailable(f"{deployment.deployment_id} was being removed meanwhile: deploy again")
        if found.record.checksum != deployment.checksum:
            raise await self._version_exists(agent.type, agent.version)
        return found.record, False

    async def get(self, reference: str, tenant_id: str) -> Deployment:
        """One deployment by `type` (highest version, no prereleases), `type:version` or full id; the platform sees all.

        NotFound says what is there instead; InvalidRequest where the reference is none.
        """
        wanted = parse_reference(reference)
        if not await self._may_use(wanted.agent_type, tenant_id):
            raise NotFound(f"there is no agent type {wanted.agent_type!r} here: deploy it first, or check the name")
        version = wanted.version or await self._newest(wanted.agent_type)
        found = await self._records.read(self.keys.record(wanted.agent_type, version))
        if found is None:
            raise NotFound(f"{wanted.agent_type} has no version {version}; {await self._there_is(wanted.agent_type)}")
        _check_digest(wanted, found.record)
        return found.record

    async def list(self, tenant_id: str, *, limit: int, cursor: str | None) -> tuple[list[Deployment], str | None]:
        """Deployments the tenant may use, by type and version as text, and where the next page begins."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"limit is {limit}; it must be from 1 to {MAX_PAGE}")
        usable: dict[str, bool] = {}
        items: list[Deployment] = []
        async for key in self._store.list(self.keys.root, after=self._after(cursor)):
            named = self.keys.recorded(key)
            if named is None:
                continue
            if named[0] not in usable:
                usable[named[0]] = await self._may_use(named[0], tenant_id)
            if usable[named[0]] and (found := await self._records.read(key)):
                if len(items) == limit:
                    return items, f"{items[-1].agent_type}:{items[-1].version}"
                items.append(found.record)
        return items, None

    async def exists(self, agent_type: str, version: str) -> bool:
        """Whether there is such a version."""
        return await self._records.read(self.keys.record(agent_type, version)) is not None

    async def owner(self, agent_type: str) -> str | None:
        """The tenant an agent type belongs to."""
        found = await self._owners.read(self.keys.owner(agent_type))
        return found.record.tenant_id if found else None

    async def mark(self, deployment: Deployment) -> None:
        """Say that a version is being removed: nobody may begin to use it; idempotent."""
        key = self.keys.mark(deployment.agent_type, deployment.version)
        await self._marks.create(key, RemovalMark(checksum=deployment.checksum))

    async def unmark(self, deployment: Deployment) -> None:
        """It is not removed after all; idempotent."""
        await self._store.delete(self.keys.mark(deployment.agent_type, deployment.version))

    async def removed(self, agent_type: str, version: str) -> RemovalMark | None:
        """The mark of a version that is being removed, or was."""
        found = await self._marks.read(self.keys.mark(agent_type, version))
        return found.record if found else None

    async def require_kept(self, deployment: Deployment) -> None:
        """NotFound where it is being removed. To be asked *after* the use of a deployment was written down."""
        if await self.removed(deployment.agent_type, deployment.version):
            raise NotFound(f"{deployment.deployment_id} is being removed: choose another version, or deploy it again")

    async def _revive(self, deployment: Deployment) -> None:
        mark = await self.removed(deployment.agent_type, deployment.version)
        if mark and mark.checksum != deployment.checksum:
            raise await self._version_exists(deployment.agent_type, deployment.version)
        if mark:
            await self.unmark(deployment)

    async def _claim(self, agent_type: str, tenant_id: str) -> None:
        key = self.keys.owner(agent_type)
        owner = await self._owners.read(key)
        if owner is None:
            mine = TypeOwner(agent_type=agent_type, tenant_id=tenant_id)
            owner = await self._owners.create(key, mine) or await self._owners.read(key)
        if owner is None or owner.record.tenant_id != tenant_id:
            raise Conflict(f"the agent type {agent_type!r} belongs to somebody else: choose another agent.type")

    async def _put_bundle(self, path: Path, deployment: Deployment) -> None:
        key = self.keys.bundle(deployment.agent_type, deployment.version)
        try:
            await self._store.create_from_file(key, path)
        except AlreadyExists:
            if await self._checksum(key) != deployment.checksum:
                raise await self._version_exists(deployment.agent_type, deployment.version) from None

    async def _checksum(self, key: str) -> str | None:
        with tempfile.TemporaryDirectory(prefix="podium-compare-") as folder:
            copy = Path(folder) / "bundle.tar.gz"
            if not await self._store.fetch_to_file(key, copy):
                return None
            return f"sha256:{await asyncio.to_thread(file_sha256, copy)}"

    async def _version_exists(self, agent_type: str, version: str) -> VersionExists:
        following = next_version(version, await self._versions(agent_type))
        return VersionExists(
            f"{agent_type} {version} was uploaded before with other content, and a version is immutable: "
            f"set agent.version to {following}",
            next_version=following,
        )

    async def _may_use(self, agent_type: str, tenant_id: str) -> bool:
        owner = await self.owner(agent_type)
        return owner is not None and (tenant_id == PLATFORM_TENANT or owner in (tenant_id, PLATFORM_TENANT))

    async def _versions(self, agent_type: str) -> Sequence[str]:
        folder = self.keys.agent_type(agent_type)
        return [named[1] async for key in self._store.list(folder) if (named := self.keys.recorded(key))]

    async def _newest(self, agent_type: str) -> str:
        versions = await self._versions(agent_type)
        version = newest(versions)
        if version is None:
            raise NotFound(f"{agent_type} has no released version; {await self._there_is(agent_type)}")
        return version

    async def _there_is(self, agent_type: str) -> str:
        versions = sorted(await self._versions(agent_type), key=precedence, reverse=True)
        if not versions:
            return "nothing of it was deployed yet"
        return "there is " + ", ".join(f"{agent_type}:{version}" for version in versions[:_SHOWN_VERSIONS])

    def _after(self, cursor: str | None) -> str:
        if cursor is None:
            return ""
        last = parse_reference(cursor)
        if last.version is None or last.digest is not None:
            raise InvalidRequest(f"cursor {cursor[:80]!r} is not one of a list of deployments")
        return self.keys.record(last.agent_type, last.version)


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes, in hex. Blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _deployment(bundle: Bundle, tenant_id: str, now: datetime) -> Deployment:
    agent = bundle.manifest.agent
    return Deployment(
        deployment_id=str(DeploymentId(agent.type, agent.version, bundle.sha256[:DIGEST_CHARS])),
        agent_type=agent.type,
        version=agent.version,
        checksum=f"sha256:{bundle.sha256}",
        size_bytes=bundle.size_bytes,
        created_at=now,
        tenant_id=tenant_id,
        manifest=bundle.manifest,
    )


def _check_kept(manifest: Manifest) -> None:
    """A promise that the platform does not keep yet is refused, not ignored."""
    if manifest.lifecycle.durability != "local":
        raise NotAvailable('lifecycle.durability = "replicated" is not built yet: use "local"')
    if manifest.network.egress != "allow":
        raise NotAvailable('network.egress is not enforced yet: only "allow" is accepted')


def _check_agrees(field: str, value: str, key: str, in_manifest: str) -> None:
    if value != in_manifest:
        raise InvalidBundle(f"the form's {field} is {value[:80]!r}, but {key} in podium.toml is {in_manifest!r}: make them agree")


def _check_digest(wanted: Reference, found: Deployment) -> None:
    if wanted.digest not in (None, found.checksum.removeprefix("sha256:")[:DIGEST_CHARS]):
        raise NotFound(f"{wanted.agent_type}:{wanted.version} is another bundle: its id is {found.deployment_id}")

"""Removing a deployment that nobody names, against instances that are created or upgraded at the same time.

A removal marks the version, then looks who names it, then deletes record and bundle; whoever names a version looks for the mark
after it has written that. So of the two at least one sees the other. The mark stays for ever: a removed version may come back
with the same bytes only. A crash at any step leaves a version that still runs where it is named, or none; asking again goes on.
"""

from podium.auth import PLATFORM_TENANT
from podium.deployments.names import Keys, parse_reference
from podium.deployments.registry import Deployment, Registry
from podium.objectstore.port import ObjectStore
from podium.protocol.errors import Conflict, Forbidden, InvalidRequest, NotFound
from podium.records.instances import Instances

_SHOWN_INSTANCES = 10


class Removal:
    """Removes deployments of one environment."""

    def __init__(self, store: ObjectStore, environment: str, registry: Registry, instances: Instances) -> None:
        self._store = store
        self._registry = registry
        self._instances = instances
        self._keys = Keys(environment)

    async def remove(self, reference: str, tenant_id: str) -> None:
        """Remove a version, named by `type:version` or its full id; idempotent.

        NotFound, Forbidden where the type is the platform's, Conflict where instances name it, with some of their ids.
        """
        wanted = parse_reference(reference)
        if wanted.version is None:
            raise InvalidRequest(
                f"say which version: {wanted.agent_type}:VERSION; a repeated request must not remove the next one"
            )
        try:
            deployment = await self._registry.get(reference, tenant_id)
        except NotFound:
            if await self._registry.removed(wanted.agent_type, wanted.version) is None:
                raise
            await self._delete(wanted.agent_type, wanted.version)
            return
        await self._check_owner(deployment, tenant_id)
        await self._registry.mark(deployment)
        if users := await self._users(deployment.deployment_id):
            await self._registry.unmark(deployment)
            shown = ", ".join(users[:_SHOWN_INSTANCES]) + (" …" if len(users) > _SHOWN_INSTANCES else "")
            raise Conflict(
                f"{len(users)} instances run {deployment.deployment_id} or could go back to it: delete them first ({shown})",
                current=len(users),
            )
        await self._delete(deployment.agent_type, deployment.version)

    async def _check_owner(self, deployment: Deployment, tenant_id: str) -> None:
        owner = await self._registry.owner(deployment.agent_type)
        if tenant_id not in (owner, PLATFORM_TENANT):
            raise Forbidden(
                f"the agent type {deployment.agent_type!r} belongs to the platform: only its administrator removes it"
            )

    async def _users(self, deployment_id: str) -> list[str]:
        users = []
        async for instance_id in self._instances.ids():
            found = await self._instances.spec(instance_id)
            if found and deployment_id in found.record.named():
                users.append(instance_id)
        return users

    async def _delete(self, agent_type: str, version: str) -> None:
        """The record first: without it nobody looks for the bundle."""
        await self._store.delete(self._keys.record(agent_type, version))
        await self._store.delete(self._keys.bundle(agent_type, version))

"""Changing the record of an instance: what it is configured with, its labels, and which deployment it should run.

The record is the truth. It is changed by conditional put before the owner is told, which then follows it; an owner that is not
told reads it when it loads the instance. Asking again is harmless.
"""

from podium.auth import Caller
from podium.deployments.registry import Deployment, Registry
from podium.protocol import api
from podium.protocol.errors import Conflict, InvalidRequest, NotFound
from podium.protocol.ids import new_id
from podium.records.bounds import checked_labels, merge_patch, patched_config
from podium.records.instances import Instances, Spec
from podium.records.record import Stored

TRIES = 8


class Patch:
    """Changes records of instances."""

    def __init__(self, records: Instances, registry: Registry) -> None:
        self._records = records
        self._registry = registry

    async def apply(self, caller: Caller, instance_id: str, body: api.PatchInstance) -> None:
        """NotFound, InvalidRequest, TooLarge; Conflict where others change the record all the time."""
        for _ in range(TRIES):
            found = await self._found(caller, instance_id)
            deployment = await self._deployment(found.record, body)
            changed = _changed(found.record, body, deployment)
            if changed == found.record:
                return
            stored = await self._records.specs.replace(self._records.spec_key(instance_id), changed, found.etag)
            if stored:
                await self._check_kept(deployment, found.record, stored)
                return
        raise Conflict(f"the record of {instance_id} is being changed by others all the time: try again")

    async def _found(self, caller: Caller, instance_id: str) -> Stored[Spec]:
        found = await self._records.spec(instance_id)
        owner = await self._records.owner(instance_id)
        gone = found is None or (owner is not None and owner.record.deleted)
        if found is None or gone or not (caller.admin or caller.tenant_id == found.record.tenant_id):
            raise NotFound(f"there is no instance {instance_id}")
        return found

    async def _deployment(self, spec: Spec, body: api.PatchInstance) -> Deployment | None:
        if body.deployment_id is None:
            return None
        deployment = await self._registry.get(body.deployment_id, spec.tenant_id)
        agent_type = spec.deployment_id.partition(":")[0]
        if deployment.agent_type != agent_type:
            raise InvalidRequest(
                f"an instance keeps its agent type: choose a version of {agent_type}, not {deployment.agent_type}"
            )
        return deployment

    async def _check_kept(self, deployment: Deployment | None, before: Spec, stored: Stored[Spec]) -> None:
        """A version that is being removed meanwhile is given up again."""
        if deployment is None:
            return
        try:
            await self._registry.require_kept(deployment)
        except NotFound:
            before.upgrade_id = new_id("upgrade")
            await self._records.specs.replace(self._records.spec_key(before.instance_id), before, stored.etag)
            raise


def _changed(spec: Spec, body: api.PatchInstance, deployment: Deployment | None) -> Spec:
    changed = Spec(**{field: getattr(spec, field) for field in Spec.__struct_fields__})
    if body.config is not None:
        changed.config = patched_config(spec.config, body.config)
    if body.labels is not None:
        changed.labels = checked_labels(merge_patch(spec.labels, body.labels))
    if deployment is not None:
        changed.upgrade_id = new_id("upgrade")
        changed.deployment_id = deployment.deployment_id
        changed.earlier = [known for known in (*spec.earlier, spec.deployment_id) if known != deployment.deployment_id]
        changed.earlier = list(dict.fromkeys(changed.earlier))
    return changed

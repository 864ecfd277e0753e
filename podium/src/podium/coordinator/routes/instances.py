"""An instance's own routes: look at it, put it to sleep, wake it."""

from starlette.responses import Response

from podium.coordinator.instance import Instance
from podium.coordinator.lifecycle import Status
from podium.coordinator.routes.call import Call
from podium.coordinator.routes.messages import message_id_of
from podium.protocol import api
from podium.protocol.parameters import DEFAULT_WAIT_S
from podium.state.port import Ended
from podium.web import decode, json_response, read_body, wait_s

MAX_BODY_BYTES = 4096


async def get_instance(call: Call) -> Response:
    """The instance as it is now."""
    return json_response(await describe(call.instance))


async def hibernate(call: Call) -> Response:
    """200 once it sleeps, 202 while it still has to."""
    await call.instance.hibernate(wait_s(call.request, DEFAULT_WAIT_S))
    asleep = call.instance.status is Status.HIBERNATED
    return json_response(await describe(call.instance), 200 if asleep else 202)


async def wake(call: Call) -> Response:
    """200 once it is ready, 202 while it still starts."""
    await call.instance.wake(wait_s(call.request, DEFAULT_WAIT_S))
    ready = call.instance.status in (Status.READY, Status.RUNNING)
    return json_response(await describe(call.instance), 200 if ready else 202)


async def restart(call: Call) -> Response:
    """200 once the new process is ready, 202 while it still has to."""
    body = decode(await read_body(call.request, MAX_BODY_BYTES), api.RestartInstance)
    entry_id = message_id_of(None, call.request.headers, "restart")
    starts = call.instance.starts
    await call.instance.restart(entry_id, now=body.now, wait_s=wait_s(call.request, DEFAULT_WAIT_S))
    done = call.instance.starts > starts and call.instance.status in (Status.READY, Status.RUNNING)
    return json_response(await describe(call.instance), 200 if done else 202)


async def describe(instance: Instance) -> api.Instance:
    """The public body of an instance."""
    overview = await instance.state.overview()
    spec, revision, last = instance.spec, overview.revision, overview.last_exit
    return api.Instance(
        instance_id=spec.instance_id, agent_id=spec.instance_id,
        deployment_id=revision.deployment_id if revision else spec.deployment_id,
        status=instance.status.value, reason=instance.reason or overview.reason, upgrade=await instance.upgrade(),
        created_at=spec.created_at, labels=spec.labels,
        config=spec.config, epoch=overview.head.epoch,
        coordinator_id=instance.host.coordinator_id, cursor=str(overview.head), checkpoint=overview.turn,
        queued=overview.queued, startup_ms=overview.startup_ms,
        workspace={"kind": "chronicle" if instance.workspace.versioned else "directory", "version": None},
        awake_because=instance.awake_because, last_exit=_last_exit(last) if last else None,
    )  # fmt: skip


def _last_exit(ended: Ended) -> api.LastExit:
    return api.LastExit(at=ended.at, reason=ended.reason, code=ended.code, signal=ended.signal, oom=ended.oom, log=ended.log)

"""Putting and removing files of a workspace: accepted durably, carried out between turns, without waking a sleeping agent."""

from starlette.responses import Response

from podium.coordinator.routes.call import Call
from podium.coordinator.routes.messages import message_id_of
from podium.coordinator.uploads import Outcome
from podium.protocol import api
from podium.protocol.parameters import DEFAULT_WAIT_S
from podium.web import json_response, wait_s
from podium.workspace.paths import checked_file


async def put_file(call: Call) -> Response:
    """201 where the file is new, 200 where it is another than before, 202 while a turn still runs."""
    path, entry_id = _named(call)
    outcome = await call.instance.put(entry_id, path, call.request.stream(), _origin(call), wait_s(call.request, DEFAULT_WAIT_S))
    if outcome is None:
        return _accepted(call, entry_id, path)
    body = api.UploadedFile(path=path, message_id=entry_id, change=outcome.change, etag=outcome.etag)
    return json_response(body, 201 if outcome.change == "created" else 200, {"etag": f'"{outcome.etag}"'})


async def delete_file(call: Call) -> Response:
    """204 once there is no such file, 202 while a turn still runs."""
    path, entry_id = _named(call)
    outcome: Outcome | None = await call.instance.remove(entry_id, path, _origin(call), wait_s(call.request, DEFAULT_WAIT_S))
    return _accepted(call, entry_id, path) if outcome is None else Response(status_code=204)


def _named(call: Call) -> tuple[str, str]:
    path = "/".join(checked_file(call.request.path_params["path"]))
    return path, message_id_of(None, call.request.headers, "file")


def _origin(call: Call) -> dict[str, str]:
    return {"tenant_id": call.caller.tenant_id, "channel": "api"}


def _accepted(call: Call, entry_id: str, path: str) -> Response:
    return json_response(api.UploadedFile(path=path, message_id=entry_id, change="queued"), 202)

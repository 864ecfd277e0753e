"""Control of a turn: guide it, stop it, answer what it asks. Each is answered by a receipt once it is durable."""

from typing import TypeVar

from starlette.responses import Response

from podium.coordinator.routes.call import Call
from podium.coordinator.routes.messages import message_id_of
from podium.coordinator.steering import MAX_CONTENT_BYTES
from podium.protocol import api
from podium.web import decode, json_response, read_body

MAX_BODY_BYTES = MAX_CONTENT_BYTES + 4096
_B = TypeVar("_B", bound=api.Steer | api.Stop | api.AnswerQuestion)


async def steer(call: Call) -> Response:
    """Guidance for the turn in flight, or for the message that is next."""
    body, receipt_id = await _read(call, api.Steer)
    return json_response(await call.instance.steering.steer(receipt_id, body.content, _origin(call)))


async def stop(call: Call) -> Response:
    """End the turn in flight, or the one of a message."""
    body, receipt_id = await _read(call, api.Stop)
    return json_response(await call.instance.steering.stop(receipt_id, body.message_id, _origin(call)))


async def answer(call: Call) -> Response:
    """What a person says to a question or a permission request."""
    body, receipt_id = await _read(call, api.AnswerQuestion)
    return json_response(await call.instance.steering.answer(receipt_id, body.request_id, body.content, _origin(call)))


async def _read(call: Call, kind: type[_B]) -> tuple[_B, str]:
    body = decode(await read_body(call.request, MAX_BODY_BYTES), kind)
    return body, message_id_of(body.id, call.request.headers, "rcpt")


def _origin(call: Call) -> dict[str, str]:
    return {"tenant_id": call.caller.tenant_id, "channel": "api"}

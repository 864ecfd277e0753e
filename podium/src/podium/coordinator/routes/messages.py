"""Messages: accepted durably, answered as JSON or as a stream, looked up."""

from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response

from podium.coordinator import feed
from podium.coordinator.reply_stream import ReplyStream
from podium.coordinator.routes.call import Call
from podium.coordinator.stream import Position
from podium.protocol import api
from podium.protocol.errors import InvalidRequest, NotFound, TurnFailed
from podium.protocol.forms import form
from podium.protocol.ids import MESSAGE_ID, Cursor, checked, new_id
from podium.protocol.parameters import DEFAULT_WAIT_S, MAX_PAGE
from podium.web import CHOSEN_KEY_HEADER, decode, json_response, query_int, read_body, wait_s


async def send_message(call: Call) -> Response:
    """Accept, then wait for the reply or stream it, as the client's Accept header says."""
    instance, request = call.instance, call.request
    body = decode(await read_body(request, instance.host.limits.message_bytes), api.SendMessage)
    message_id = message_id_of(body.id, request.headers)
    document = body.document()
    origin = {"tenant_id": call.caller.tenant_id, "role": body.role, "channel": "api"}
    if "text/event-stream" in request.headers.get("accept", ""):
        return await _streamed(call, message_id, document, origin)
    return _answer(call, message_id, await instance.submit(message_id, document, origin, wait_s(request, DEFAULT_WAIT_S)))


async def get_message(call: Call) -> Response:
    """One message; `wait=` waits for its end."""
    message_id = call.request.path_params["message_id"]
    status = await call.instance.result(message_id, wait_s(call.request, 0))
    if status is None:
        raise NotFound(f"instance {call.instance.spec.instance_id} has no message {message_id[:128]!r}")
    return json_response(status)


async def list_messages(call: Call) -> Response:
    """The history, oldest first."""
    after = query_int(call.request, "cursor", 0, 0, 2**62)
    limit = query_int(call.request, "limit", 50, 1, MAX_PAGE)
    items, following = await call.instance.state.messages(after, limit)
    return json_response(api.Page(items=items, next_cursor=None if following is None else str(following)))


def message_id_of(in_body: str | None, headers: Headers, prefix: str = "msg") -> str:
    """`id` and `Idempotency-Key` are one value; without either the one that the gateway chose, or a new one."""
    in_header = headers.get("idempotency-key")
    if in_body and in_header and in_body != in_header:
        raise InvalidRequest("`id` and the Idempotency-Key header differ: they are one value, send one of them")
    return checked("message id", MESSAGE_ID, in_body or in_header or headers.get(CHOSEN_KEY_HEADER) or new_id(prefix))


def _answer(call: Call, message_id: str, status: api.MessageStatus | None) -> Response:
    if status and status.reply is not None:
        return json_response(status.reply)
    if status and status.error is not None:
        raise TurnFailed(
            status.error.message or "the agent could not process this message", message_id=message_id, cause=status.error.code
        )
    location = f"/api/v1/instances/{call.instance.spec.instance_id}/messages/{message_id}"
    return json_response(
        api.Queued(message_id=message_id, status=status.status if status else "queued"), 202, {"location": location}
    )


async def _streamed(call: Call, message_id: str, document: dict[str, Any], origin: dict[str, Any]) -> Response:
    """From the message's first event on, or where a gateway goes on that has forwarded the rest."""
    instance, shape = call.instance, form("sse", call.request.query_params.get("names"))
    instance.stream.require_room()
    position, going_on = Position(instance.stream.head.seq, []), feed.resumed(call.request)
    accepted = await instance.accept(message_id, "message", document, origin)
    if going_on:
        position = await instance.stream.position(going_on)
    elif accepted.duplicate:
        first = await instance.state.first_seq(message_id)
        before = Cursor(instance.stream.head.epoch, (first or 0) - 1)
        position = position if first is None else await instance.stream.position(before)
    until_seq = instance.stream.head.seq if accepted.done else None
    reply = ReplyStream(instance, message_id, position, shape, until_seq)
    await reply.begin()
    return feed.respond(call.request, reply.pieces(), shape)

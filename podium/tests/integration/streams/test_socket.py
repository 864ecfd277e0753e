"""The native stream over a WebSocket, through a whole platform."""

import asyncio
import json

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from podium.client import AsyncPodium
from podium.protocol.events import Event
from tests.support.platform import Platform
from tests.support.ws_client import WsClient, socket

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_message_and_its_events(platform: Platform, client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "echo before")
    async with socket(platform, agent) as ws:
        status = await ws.frame()
        assert status == {"type": "status", "cursor": (await client.instance(agent)).cursor, "status": "ready"}
        await ws.send("process_message", id="m1", content={"text": "echo hello"})
        assert await ws.until("receipt") == {"type": "receipt", "id": "m1", "disposition": "queued"}
    async with socket(platform, agent, f"?after={status['cursor']}") as ws:
        events = await ws.events_until("complete")
    assert [event["event_type"] for event in events] == ["stream_start", "update", "complete"]
    assert {event["message_id"] for event in events} == {"m1"}
    assert events[1]["content"]["text"] == "hello"
    first = int(status["cursor"].partition(".")[2]) + 1
    assert [event["seq"] for event in events] == list(range(first, first + 3))


async def test_events_are_the_same_as_over_sse(platform: Platform, client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "tokens 20 0")
    async with socket(platform, agent, "?after=0.0") as ws:
        over_socket = await ws.events_until("complete")
    over_sse = []
    async for frame in client.events(agent):
        if isinstance(frame, Event):
            over_sse.append(frame)
            if frame.event_type == "complete":
                break
    assert [(e["epoch"], e["seq"], e["event_type"], e["content"]) for e in over_socket] == [
        (e.epoch, e.seq, e.event_type, e.content) for e in over_sse
    ]


async def test_a_frame_without_an_id_gets_one_and_a_repeat_is_a_duplicate(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.send("process_message", content={"text": "echo x"})
        receipt = await ws.until("receipt")
        assert receipt["disposition"] == "queued"
        await ws.send("process_message", id=receipt["id"], content={"text": "echo x"})
        assert await ws.until("receipt") == {"type": "receipt", "id": receipt["id"], "disposition": "duplicate"}
        await ws.send("process_message", id=receipt["id"], content={"text": "echo y"})
        refused = await ws.until("receipt")
        assert (refused["disposition"], refused["code"]) == ("rejected", "idempotency_mismatch")


async def test_pings_and_receipts_come_in_the_order_of_the_frames(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        for n in range(20):
            await ws.send(
                *(("ping",) if n % 2 else ("process_message",)), id=f"f{n}", **({} if n % 2 else {"content": {"text": "echo x"}})
            )
        answers: list[tuple[str, str]] = []
        while len(answers) < 20:
            frame = await ws.frame()
            if frame["type"] in ("receipt", "pong"):
                answers.append((frame["type"], frame["id"]))
    assert answers == [("pong" if n % 2 else "receipt", f"f{n}") for n in range(20)]


@pytest.mark.parametrize(
    ("text", "frame_id", "says"),
    [
        ("{", None, "truncated"),
        ("[]", None, "object"),
        ('{"type": "shout", "id": "a"}', "a", "shout"),
        ('{"type": "ping", "id": "b", "more": 1}', "b", "more"),
        ('{"type": "ping", "id": "no spaces"}', None, "id"),
        ('{"type": "process_message", "id": "c", "content": {"text": 1}}', "c", "text"),
        ('{"type": "process_message", "id": "d", "content": {"text": "x", "files": []}}', "d", "files"),
        ('{"type": "answer", "id": "e", "content": 1}', "e", "request_id"),
        ("[" * 5000, None, ""),
    ],
)
async def test_a_frame_that_is_wrong_is_refused_and_the_socket_lives_on(
    platform: Platform, agent: str, text: str, frame_id: str | None, says: str
) -> None:
    async with socket(platform, agent) as ws:
        await ws.connection.send(text)
        receipt = await ws.until("receipt")
        assert (receipt["disposition"], receipt["code"], receipt["id"]) == ("rejected", "invalid_request", frame_id)
        assert says in receipt["reason"]
        await ws.send("ping", id="alive")
        assert await ws.until("pong") == {"type": "pong", "id": "alive"}


async def test_what_was_said_before_and_what_is_attached_go_along(platform: Platform, client: AsyncPodium, agent: str) -> None:
    said = [{"role": "user", "text": "earlier"}]
    async with socket(platform, agent) as ws:
        await ws.send("process_message", id="m1", content={"text": "echo x", "messages": said, "attachments": [{"name": "a"}]})
        assert (await ws.until("receipt"))["disposition"] == "queued"
        await ws.events_until("complete")
        await ws.send("process_message", id="m1", content={"text": "echo x"})
        assert (await ws.until("receipt"))["code"] == "idempotency_mismatch"


async def test_a_turn_is_stopped(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.send("stop_turn", id="s0")
        assert (await ws.until("receipt", id="s0"))["disposition"] == "rejected"
        await ws.send("process_message", id="m1", content={"text": "tokens 10000 0.01"})
        await ws.until("update", event_type="update")
        await ws.send("stop_turn", id="s1")
        assert (await ws.until("receipt", id="s1"))["disposition"] in ("queued", "injected")
        assert (await ws.events_until("complete"))[-1]["content"]["stop_reason"] == "stopped"


async def test_an_id_in_the_body_is_enough(platform: Platform, client: AsyncPodium, agent: str) -> None:
    async with httpx.AsyncClient(base_url=platform.url, headers={"authorization": f"Bearer {platform.key}"}) as http:
        answer = await http.post(f"/api/v1/instances/{agent}/messages", json={"text": "echo x", "id": "mine"})
    assert (answer.status_code, answer.json()["message_id"]) == (200, "mine")


async def test_names_with_dots(platform: Platform, client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "echo x")
    async with socket(platform, agent, "?after=0.0&names=dotted") as ws:
        assert [event["event_type"] for event in await ws.events_until("complete")] == ["stream.start", "update", "complete"]


async def refusal(platform: Platform, agent: str, query: str = "", headers: dict[str, str] | None = None) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as error:
        async with socket(platform, agent, query, headers):
            pass
    response = error.value.response
    assert response.headers["content-type"] == "application/problem+json"
    document = json.loads(response.body)
    assert document["request_id"] == response.headers["x-request-id"]
    return response.status_code, document["code"]


async def test_what_is_wrong_with_the_handshake_is_a_problem_document(platform: Platform, agent: str) -> None:
    assert await refusal(platform, agent, headers={}) == (401, "unauthorized")
    assert await refusal(platform, agent, headers={"Authorization": "Bearer pod_wrong"}) == (401, "unauthorized")
    assert await refusal(platform, agent, f"?key={platform.key}", headers={}) == (401, "unauthorized")
    assert await refusal(platform, agent, "?namess=dotted") == (400, "invalid_request")
    assert await refusal(platform, "nobody") == (404, "not_found")
    assert await refusal(platform, "no.name") == (404, "not_found")
    assert await refusal(platform, agent, "?after=x") == (400, "invalid_request")
    assert await refusal(platform, agent, "?after=9.999") == (400, "invalid_request")
    assert await refusal(platform, agent, "?names=camel") == (400, "invalid_request")


async def test_browsers_send_the_key_as_a_subprotocol(platform: Platform, agent: str) -> None:
    offered = ["podium", f"bearer.{platform.key}"]
    async with socket(platform, agent, headers={}, subprotocols=offered) as ws:
        assert ws.connection.subprotocol == "podium"
        assert (await ws.frame())["type"] == "status"
    with pytest.raises(InvalidStatus):
        async with socket(platform, agent, headers={}, subprotocols=["podium", "bearer.pod_wrong"]):
            pass


async def test_a_binary_frame_closes(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.connection.send(b"{}")
        assert await ws.closed() == (1003, "frames are JSON text, not binary")


async def test_a_frame_that_is_too_large_closes(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.send("process_message", content={"text": "x" * (1 << 20)})
        code, reason = await ws.closed()
        assert code == 1009
        assert str(1 << 20) in reason


async def test_pieces_of_a_frame_are_too_large_together(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.connection.send(["x" * 300_000] * 4)
        assert (await ws.closed())[0] == 1009


async def test_too_many_frames_close(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        for _ in range(150):
            await ws.send("ping")
        assert await ws.closed() == (1008, "more than 100 frames a second: wait for the receipts")


async def test_what_is_not_utf8_closes(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.connection.send(b"\xff", text=True)
        assert (await ws.closed())[0] == 1007


async def test_a_deleted_instance_closes_its_sockets_with_the_reason(platform: Platform, client: AsyncPodium, agent: str) -> None:
    doomed = (await client.create((await client.instance(agent)).deployment_id)).instance_id
    async with socket(platform, doomed) as ws:
        await ws.until("status")
        await client.delete(doomed)
        last = await ws.until("status")
        assert last["code"] == "not_found"
        assert (await ws.closed())[0] == 4404


async def test_a_plain_get_is_told_to_upgrade(platform: Platform, agent: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(platform.url.rpartition(":")[2]))
    writer.write(
        f"GET /agent/{agent} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {platform.key}\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    assert b" 400 " in answer.splitlines()[0]
    assert b"WebSocket" in answer


async def test_readers_on_both_ends_of_many_sockets(platform: Platform, agent: str) -> None:
    async def read(ws: WsClient) -> list[int]:
        return [event["seq"] for event in await ws.events_until("complete")]

    async with socket(platform, agent) as one, socket(platform, agent) as other:
        await one.frame(), await other.frame()
        await one.send("process_message", content={"text": "tokens 200 0"})
        first, second = await asyncio.gather(read(one), read(other))
    assert first == second == list(range(first[0], first[-1] + 1))


async def test_a_turn_is_steered_answered_and_stopped(platform: Platform, client: AsyncPodium, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.send("steer", id="s0", content="early")
        refused = await ws.until("receipt")
        assert (refused["id"], refused["disposition"], refused["code"]) == ("s0", "rejected", "no_turn")
        earlier = [{"role": "user", "text": "before"}]
        await ws.send("process_message", id="m1", content={"text": "listen 1 0", "messages": earlier})
        await ws.until("update")
        await ws.send("steer", id="s1", content={"go": "left"})
        assert (await ws.until("receipt", id="s1"))["disposition"] == "injected"
        await ws.events_until("complete")
        await ws.send("process_message", id="m2", content={"text": "ask 0 left?"})
        await ws.events_until("tool_question_requested")
        await ws.send("answer", id="a1", request_id="m2.1", content="yes")
        await ws.events_until("complete")
        await ws.send("process_message", id="m3", content={"text": "hang"})
        await ws.events_until("update")
        await ws.send("stop_turn", id="x1", message_id="m3")
        events = await ws.events_until("complete")
        assert events[-1]["content"]["stop_reason"] == "stopped"
    replies = [message.reply.text for message in await client.messages(agent) if message.reply]
    assert replies == ['listening\n[1, [{"go": "left"}]]', '[1, "yes"]', "begun"]


@pytest.mark.parametrize("line", ["x-long: " + "x" * 9000, "x-odd: \x80\xff"])
async def test_a_handshake_that_cannot_be_parsed_is_let_go(platform: Platform, agent: str, line: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(platform.url.rpartition(":")[2]))
    lines = [
        f"GET /agent/{agent} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", line, "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(lines).encode("latin-1"))
    async with asyncio.timeout(30):
        await reader.read()
        await writer.drain()
        while not writer.transport.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.05)
    writer.close()

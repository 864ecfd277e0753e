"""A client's connection stays open while the coordinator dies and comes back: nothing is missing, nothing comes twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from podium.client import AsyncPodium
from tests.support.platform import Platform, until
from tests.support.ws_client import WsClient, socket

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Sse:
    """One server-sent event stream, read to its end. `frames` is what has come."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.ended = False

    @property
    def numbers(self) -> list[int]:
        return [frame["seq"] for frame in self.frames if frame["type"] == "update"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if kind in (frame["type"], frame.get("event_type"))]


@asynccontextmanager
async def one_connection(platform: Platform, method: str, path: str, body: Any = None) -> AsyncIterator[Sse]:
    """Exactly one request: whatever is missing in its answer stays missing."""
    found = Sse()
    headers = {"authorization": f"Bearer {platform.key}", "accept": "text/event-stream"}

    async def read(http: httpx.AsyncClient) -> None:
        async with http.stream(method, path, json=body, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    found.frames.append(json.loads(line.removeprefix("data: ")))
        found.ended = True

    async with httpx.AsyncClient(base_url=platform.url, timeout=60) as http:
        reading = asyncio.create_task(read(http))
        try:
            yield found
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.result()


async def restart(platform: Platform, part: str) -> None:
    """Kill it and wait for the next one."""
    old = platform.part(part)
    old.kill()
    await until(lambda: platform.part(part).pid != old.pid)


async def test_events_go_on_over_restarts_of_the_coordinator(platform: Platform, client: AsyncPodium, agent: str) -> None:
    async with one_connection(platform, "GET", f"/api/v1/instances/{agent}/events?after=0.0") as sse:
        for n in range(2):
            sending = asyncio.create_task(client.send(agent, "tokens 40 0.01", message_id=f"m{n}"))
            await until(lambda n=n: len(sse.of("stream_start")) > n)
            await restart(platform, "coordinator")
            await sending
        await until(lambda: len(sse.of("complete")) == 2)
        assert not sse.ended
    assert sse.numbers == list(range(1, len(sse.numbers) + 1))
    assert len(sse.of("status")) == 1


async def test_the_stream_of_a_message_goes_on(platform: Platform, client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "echo before")
    body = {"text": "tokens 60 0.02", "id": "m1"}
    async with one_connection(platform, "POST", f"/api/v1/instances/{agent}/messages", body) as sse:
        await until(lambda: len(sse.of("update")) > 10)
        await restart(platform, "coordinator")
        await until(lambda: sse.ended)
    assert sse.numbers == list(range(sse.numbers[0], sse.numbers[0] + len(sse.numbers)))
    assert [frame["event_type"] for frame in (sse.frames[0], sse.frames[-1])] == ["stream_start", "complete"]
    assert {frame["message_id"] for frame in sse.frames} == {"m1"}


async def test_a_followed_log_goes_on(platform: Platform, client: AsyncPodium, agent: str) -> None:
    async with one_connection(platform, "GET", f"/api/v1/instances/{agent}/logs?follow=true") as sse:
        await client.send(agent, "say 0")
        await until(lambda: [frame for frame in sse.frames if frame.get("message") == "logged 0"])
        await restart(platform, "coordinator")
        await client.send(agent, "say end")
        await until(lambda: [frame for frame in sse.frames if frame.get("message") == "logged end"])
        assert not sse.ended
    numbers = [frame["id"] for frame in sse.frames]
    assert numbers == sorted(set(numbers))
    assert [frame["message"] for frame in sse.frames if frame["message"].startswith("logged")] == [
        "logged 0", "logged end",
    ]  # fmt: skip


async def test_a_socket_stays_open_and_what_is_said_meanwhile_is_taken(platform: Platform, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.frame()
        events: list[dict[str, Any]] = []
        receipts: dict[str, str] = {}
        platform.part("coordinator").kill()
        for n in range(10):
            await ws.send("process_message", id=f"m{n}", content={"text": f"echo {n}"})
        await _until_done(ws, events, receipts, 10)
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    assert receipts.keys() == {f"m{n}" for n in range(10)}
    assert set(receipts.values()) <= {"queued", "duplicate"}
    completes = [event["message_id"] for event in events if event["event_type"] == "complete"]
    assert completes == [f"m{n}" for n in range(10)]


async def _until_done(ws: WsClient, events: list[dict[str, Any]], receipts: dict[str, str], count: int) -> None:
    while len(receipts) < count or sum(event["event_type"] == "complete" for event in events) < count:
        frame = await ws.frame()
        if frame["type"] == "update":
            events.append(frame)
        elif frame["type"] == "receipt":
            receipts[frame["id"]] = frame["disposition"]


async def test_a_gateway_that_ends_says_so_and_the_cursor_leads_on(platform: Platform, client: AsyncPodium, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.send("process_message", content={"text": "echo before"})
        before = await ws.events_until("complete")
        old = platform.part("gateway")
        old.terminate()
        code, reason = await ws.closed()
        assert (code, "cursor" in reason) == (1012, True)
    await until(lambda: platform.part("gateway").pid != old.pid)
    await client.send(agent, "echo after")
    cursor = f"{before[-1]['epoch']}.{before[-1]['seq']}"
    async with socket(platform, agent, f"?after={cursor}") as ws:
        after = await ws.events_until("complete")
    assert after[0]["seq"] == before[-1]["seq"] + 1
    assert after[1]["content"]["text"] == "after"


async def test_a_stopped_coordinator_delays_and_loses_nothing(platform: Platform, client: AsyncPodium, agent: str) -> None:
    async with socket(platform, agent) as ws:
        await ws.frame()
        coordinator = platform.part("coordinator")
        coordinator.suspend()
        await ws.send("process_message", id="m1", content={"text": "echo x"})
        await ws.send("ping", id="p")
        coordinator.resume()
        assert (await ws.until("receipt", id="m1"))["disposition"] == "queued"
        assert (await ws.until("pong"))["id"] == "p"
        await client.send(agent, "echo y")

"""A WebSocket client of the native stream, for tests: the public protocol and nothing of the server's."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.platform import DEADLINE_S, Platform


class WsClient:
    """One open socket. Frames come as documents."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def frame(self) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(DEADLINE_S):
            document: dict[str, Any] = json.loads(await self.connection.recv(decode=True))
            return document

    async def until(self, kind: str, **members: Any) -> dict[str, Any]:
        """The next frame of a kind that has these members; others are passed over."""
        while True:
            frame = await self.frame()
            if frame["type"] == kind and all(frame.get(name) == value for name, value in members.items()):
                return frame

    async def events_until(self, event_type: str) -> list[dict[str, Any]]:
        """Events up to one of a type, which is the last."""
        events = []
        while not events or events[-1]["event_type"] != event_type:
            events.append(await self.until("update"))
        return events

    async def send(self, kind: str, **members: Any) -> None:
        """One frame."""
        await self.connection.send(json.dumps({"type": kind, **members}))

    async def closed(self) -> tuple[int, str]:
        """Code and reason, once the other side has closed."""
        async with asyncio.timeout(DEADLINE_S):
            await self.connection.wait_closed()
        assert self.connection.close_code is not None
        return self.connection.close_code, self.connection.close_reason or ""


@contextlib.asynccontextmanager
async def socket(
    platform: Platform, agent: str, query: str = "", headers: dict[str, str] | None = None, **rest: Any
) -> AsyncIterator[WsClient]:
    """A socket to an agent, through the gateway, with the administrator's key if no headers are given."""
    given = {"Authorization": f"Bearer {platform.key}"} if headers is None else headers
    url = f"{platform.url.replace('http', 'ws', 1)}/agent/{agent}{query}"
    async with connect(url, additional_headers=given, compression=None, max_size=None, **rest) as connection:
        yield WsClient(connection)

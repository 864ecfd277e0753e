"""Readers of the native stream that cut their connections at a random byte and go on with their cursor: bytes in, events out."""

import asyncio
import base64
import contextlib
import json
import os
import random
from typing import Any, Literal
from urllib.parse import urlsplit

Carrier = Literal["sse", "websocket"]
HEAD_END = b"\r\n\r\n"
RETRY_PAUSE_S = 0.05


class Parser:
    """Events of one connection, out of bytes cut anywhere. `status` is that of the HTTP answer."""

    def __init__(self, carrier: Carrier) -> None:
        self.status: int | None = None
        self._carrier = carrier
        self._raw = bytearray()
        self._body = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The frames completed by `data`."""
        self._raw += data
        if self.status is None:
            head, end, rest = bytes(self._raw).partition(HEAD_END)
            if not end:
                return []
            self.status = int(head.split(b" ", 2)[1])
            self._raw = bytearray(rest)
        if self.status == 101:
            return self._socket_frames()
        return self._server_sent() if self.status == 200 else []

    def _socket_frames(self) -> list[dict[str, Any]]:
        frames: list[dict[str, Any]] = []
        while len(self._raw) >= 2:
            size, start = self._raw[1], 2
            if size > 125:
                start = 4 if size == 126 else 10
                size = int.from_bytes(self._raw[2:start], "big")
            if len(self._raw) < start + size:
                break
            if self._raw[0] == 0x81:
                frames.append(json.loads(self._raw[start : start + size]))
            del self._raw[: start + size]
        return frames

    def _server_sent(self) -> list[dict[str, Any]]:
        self._unchunk()
        *blocks, rest = bytes(self._body).split(b"\n\n")
        self._body = bytearray(rest)
        lines = [line for block in blocks for line in block.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line.removeprefix(b"data: ")) for line in lines]

    def _unchunk(self) -> None:
        while (end := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:end], 16)
            if len(self._raw) < end + 2 + size + 2:
                return
            self._body += self._raw[end + 2 : end + 2 + size]
            del self._raw[: end + 2 + size + 2]


class CuttingReader:
    """Reads one instance's line from its first event on, over connection after connection."""

    def __init__(self, url: str, key: str, agent: str, carrier: Carrier, chance: random.Random) -> None:
        self.cuts = 0
        self.seen: list[tuple[int, int, str]] = []
        self._address = urlsplit(url)
        self._key = key
        self._agent = agent
        self._carrier: Carrier = carrier
        self._chance = chance

    @property
    def cursor(self) -> str:
        """Behind the last event seen."""
        return f"{self.seen[-1][0]}.{self.seen[-1][1]}" if self.seen else "0.0"

    async def once(self, *, until_seq: int | None = None) -> None:
        """One connection, until it is cut: after some bytes, after some time, by the other side, or with `until_seq` seen."""
        parser = Parser(self._carrier)
        with contextlib.suppress(ConnectionError, TimeoutError):
            reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
            try:
                writer.write(self._request())
                limit = None if until_seq else self._limit_bytes()
                async with asyncio.timeout(20 if until_seq else self._chance.uniform(0.02, 0.3)):
                    await self._read(reader, parser, limit, until_seq)
            finally:
                writer.transport.abort()
        self.cuts += 1
        assert parser.status in (None, 101, 200, 429, 503), parser.status
        if parser.status not in (101, 200):
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _read(self, reader: asyncio.StreamReader, parser: Parser, limit: int | None, until_seq: int | None) -> None:
        while limit is None or limit > 0:
            data = await reader.read(min(limit or 65536, 65536))
            if not data:
                return
            limit = None if limit is None else limit - len(data)
            for frame in parser.feed(data):
                self._take(frame)
            if until_seq and self.seen and self.seen[-1][1] >= until_seq:
                return

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "status" and "code" not in frame:
            return
        assert frame["type"] == "update", (self._carrier, self.cursor, frame)
        epoch, seq = self.seen[-1][:2] if self.seen else (0, 0)
        assert frame["seq"] == seq + 1, (self._carrier, self.cursor, frame)
        assert frame["epoch"] >= epoch, (self._carrier, self.cursor, frame)
        self.seen.append((frame["epoch"], frame["seq"], json.dumps(frame["content"], sort_keys=True)))

    def _limit_bytes(self) -> int:
        return int(self._chance.choice((600, 3000, 3000, 3000, 60_000)) * self._chance.random())

    def _request(self) -> bytes:
        if self._carrier == "sse":
            path, more = f"/api/v1/instances/{self._agent}/events", "Accept: text/event-stream\r\n"
        else:
            nonce = base64.b64encode(os.urandom(16)).decode()
            path = f"/agent/{self._agent}"
            more = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n"
        head = f"GET {path}?after={self.cursor} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._key}\r\n{more}\r\n"
        return head.encode()

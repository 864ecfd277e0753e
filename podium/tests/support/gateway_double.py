"""A gateway for the client's tests: real HTTP on a real socket, answers as scripted, connections cut at any byte."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from podium.protocol.errors import PodiumError
from podium.protocol.events import Event, Frame, encoded
from podium.protocol.forms import SSE

KEY = "pod_admin_of_the_double"


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def streams(self) -> bool:
        return "text/event-stream" in self.headers.get("accept", "")


@dataclass(frozen=True)
class Answer:
    """What to say. `cut_after` bytes of the body the connection breaks; `open_end` keeps it open after the last byte."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    open_end: bool = False
    chunk_bytes: int = 1 << 16


Handler = Callable[[Received], Answer]


def json_answer(value: Any, status: int = 200, **headers: str) -> Answer:
    """A struct or plain value as JSON; `retry_after="1"` and the like become headers."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, msgspec.json.encode(value), {"content-type": "application/json", **named})


def problem(error: PodiumError, **headers: str) -> Answer:
    """An error as its problem document."""
    answer = json_answer(error.problem("req_1"), error.status, **headers)
    return Answer(answer.status, answer.body, {**answer.headers, "content-type": "application/problem+json"})


def stream(frames: Sequence[Frame], **rest: Any) -> Answer:
    """Frames as an event stream."""
    return event_stream(
        *(SSE.event(encoded(frame)) if isinstance(frame, Event) else SSE.frame(frame) for frame in frames), **rest
    )


def event_stream(*frames: bytes, **rest: Any) -> Answer:
    """Ready-made server-sent events."""
    return Answer(body=b"".join(frames), headers={"content-type": "text/event-stream"}, **rest)


class GatewayDouble:
    """Runs in a thread of its own, so that programs that bring their own event loop can be tested against it."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.url = ""
        self._scripts: dict[tuple[str, str], list[Answer | Handler]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway-double")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def on(self, method: str, path: str, *answers: Answer | Handler) -> None:
        """Answer a path in this order; the last answer stays."""
        self._scripts[method, path] = list(answers)

    def seen(self, method: str, path: str) -> list[Received]:
        """The requests for one path, in order."""
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    def forget(self) -> None:
        """No scripts, no requests."""
        self.requests.clear()
        self._scripts.clear()

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._answer(await _received(reader), reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        answer = self._chosen(request)
        head = {"connection": "close", "transfer-encoding": "chunked", **answer.headers}
        writer.write(f"HTTP/1.1 {answer.status} Answer\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in head.items()).encode() + b"\r\n")
        await _write_body(answer, writer)
        if answer.cut_after is not None:
            writer.transport.abort()
        elif answer.open_end:
            await reader.read()
        else:
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    def _chosen(self, request: Received) -> Answer:
        script = self._scripts.get((request.method, request.path))
        if script is None:
            document = {"code": "not_found", "detail": f"the double has no {request.method} {request.path}", "status": 404}
            return json_answer(document, 404)
        answer = script.pop(0) if len(script) > 1 else script[0]
        return answer(request) if callable(answer) else answer


@contextlib.contextmanager
def running_double() -> Iterator[GatewayDouble]:
    """A double that listens."""
    with GatewayDouble() as double:
        yield double


async def _received(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.rstrip("\r\n").split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in fields)}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    return Received(method, unquote(url.path), parse_qs(url.query, keep_blank_values=True), headers, body)


async def _chunks(reader: asyncio.StreamReader) -> Any:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


async def _write_body(answer: Answer, writer: asyncio.StreamWriter) -> None:
    body = answer.body if answer.cut_after is None else answer.body[: answer.cut_after]
    for start in range(0, len(body), answer.chunk_bytes):
        piece = body[start : start + answer.chunk_bytes]
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    await writer.drain()
    # An abort drops what is still on its way: let the kernel have it first.
    while writer.transport.get_write_buffer_size():
        await asyncio.sleep(0)

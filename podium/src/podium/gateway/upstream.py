"""Requests of the gateway to coordinators: signed, over pooled connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from podium.auth import CALLER_HEADER, Caller, Signer
from podium.protocol.errors import PodiumError, Unavailable, by_code
from podium.web import REQUEST_ID_HEADER

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 15.0
"""How long a coordinator may be silent beyond what it was asked to wait: longer, and it hangs."""
MAX_CONNECTIONS = 0  # readers each hold one for hours; the coordinator's own limits bound them
READ_BUFFER_BYTES = 64 * 1024
"""Twice as much is held for a client that reads slowly; then the coordinator has to wait."""
_ALWAYS = frozenset({"type", "title", "status", "detail", "code", "retryable", "request_id"})


Body = bytes | Callable[[], AsyncIterator[bytes]] | None
"""A body that can be sent again: its bytes, or what gives them anew."""


class Upstream:
    """The HTTP client towards coordinators, which answer within `answer_timeout_s`. Make it inside the event loop; `close` it."""

    def __init__(self, signer: Signer, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.answer_timeout_s = answer_timeout_s
        self._signer = signer
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=15),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("user-agent", "accept", "accept-encoding"),
            read_bufsize=READ_BUFFER_BYTES,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def open(
        self, caller: Caller, method: str, base: str, target: str, headers: dict[str, str], body: Body, within_s: float
    ) -> aiohttp.ClientResponse:
        """Send one request; the response with its body unread. ConnectionError where nothing answers in `within_s` seconds."""
        signed = headers | {CALLER_HEADER: self._signer.sign(caller, method, target), REQUEST_ID_HEADER: caller.request_id}
        try:
            async with asyncio.timeout(within_s) as deadline:
                return await self._session.request(
                    method,
                    URL(base + target, encoded=True),
                    headers=signed,
                    data=_moving(body(), deadline, within_s) if callable(body) else body,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionError(f"{base} does not answer: {str(error) or 'it is silent'}") from error

    async def call(self, caller: Caller, method: str, base: str, target: str, body: Any = None) -> Any:
        """A JSON call; errors of the coordinator are raised as what they are."""
        data, headers = None if body is None else msgspec.json.encode(body), {"content-type": "application/json"}
        response = await self.open(caller, method, base, target, headers, data, self.answer_timeout_s)
        raw = await whole(response)
        if response.status >= 400:
            raise known_error(response, raw)
        try:
            return msgspec.json.decode(raw or b"null")
        except msgspec.DecodeError as error:
            raise ConnectionError(f"{base} broke off: {error}") from error


async def _moving(pieces: AsyncIterator[bytes], deadline: asyncio.Timeout, within_s: float) -> AsyncIterator[bytes]:
    """A long body, whose every piece that was taken puts the deadline off."""
    async for piece in pieces:
        with contextlib.suppress(RuntimeError):  # it was answered before it was whole
            deadline.reschedule(asyncio.get_running_loop().time() + within_s)
        yield piece


async def whole(response: aiohttp.ClientResponse) -> bytes:
    """The body of a short answer; ConnectionError where it broke off."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConnectionError(f"the coordinator broke off: {error}") from error
    finally:
        response.release()


def known_error(response: aiohttp.ClientResponse, problem: bytes) -> PodiumError:
    """A problem document of a coordinator as the error that it was."""
    try:
        document = msgspec.json.decode(problem, type=dict[str, Any])
    except msgspec.DecodeError:
        return Unavailable("the coordinator broke off")
    kind = by_code().get(document.get("code", ""), Unavailable)
    extra = {name: value for name, value in document.items() if name not in _ALWAYS}
    pause = response.headers.get("retry-after", "")
    return kind(
        document.get("detail", "the coordinator refused"), retry_after_s=int(pause) if pause.isdecimal() else None, **extra
    )

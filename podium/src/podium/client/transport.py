"""Requests that are safe to repeat, and are repeated while that may help. The only module that speaks HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import msgspec

from podium.client.errors import NotConfigured, Unreachable
from podium.client.problems import passes_by_itself, problem_error
from podium.client.retry import Retry
from podium.protocol.errors import InternalError, PodiumError, TooLarge
from podium.protocol.ids import new_id

T = TypeVar("T")
CONNECT_S = 5.0
ANSWER_S = 30.0
"""How long an answer may take beyond what the request asked the platform to wait."""
IDLE_S = 120.0
"""A stream that was silent for so long is opened anew, in case the other side is gone without a word."""
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+", re.ASCII)
MAX_ANSWER_BYTES = 64 << 20


class Request(msgspec.Struct, kw_only=True, frozen=True):
    """One request. `multipart` gives the parts of an upload anew for each attempt; `max_bytes` bounds the answer."""

    method: str
    path: str
    params: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    body: Any = None
    content: bytes | None = None
    multipart: Callable[[], dict[str, Any]] | None = None
    wait_s: float = 0.0
    accept_status: frozenset[int] = frozenset()
    max_bytes: int = MAX_ANSWER_BYTES


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """A success, or one of the statuses the request accepts."""

    status: int
    content: bytes

    def read(self, kind: type[T]) -> T:
        """The body as `kind`; raises InternalError for anything else."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InternalError(f"the answer is not what this version of the client expects: {error}") from error


def post(path: str, *, key: str | None = None, **rest: Any) -> Request:
    """A POST that may be repeated: all its attempts carry one `Idempotency-Key`."""
    headers = {"Idempotency-Key": key or new_id("req"), **rest.pop("headers", {})}
    return Request(method="POST", path=path, headers=headers, **rest)


class Transport:
    """One platform, over HTTP. `retry_for_s` bounds how long a request that fails is repeated."""

    def __init__(self, url: str, api_key: str, *, retry_for_s: float) -> None:
        self.url = checked_url(url)
        self.retry_for_s = retry_for_s
        self._http = httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {checked_key(api_key)}", "User-Agent": "podium-client"}
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def call(self, request: Request) -> Answer:
        """The answer; raises a PodiumError for any that is not a success."""
        return await self.repeat(lambda: self._attempt(request), Retry(self.retry_for_s))

    async def repeat(self, attempt: Callable[[], Awaitable[T]], retry: Retry) -> T:
        """What `attempt` returns, after as many attempts as may help."""
        while True:
            try:
                return await attempt()
            except PodiumError as failure:
                await pause(retry, failure)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
        """One attempt at an event stream: its bytes until it ends or goes silent. A broken connection raises Unreachable."""
        headers = {**request.headers, "Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        async with self._open(request, headers, IDLE_S) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise InternalError(f"{self.url} answered {response.status_code} without an event stream")
            yield self._chunks(response)

    async def _attempt(self, request: Request) -> Answer:
        headers = {"Accept": "application/json", **request.headers}
        async with self._open(request, headers, request.wait_s + ANSWER_S) as response:
            try:
                content = await _bounded(response, request.max_bytes)
            except httpx.RequestError as error:
                raise self._unreachable(error) from error
            return Answer(status=response.status_code, content=content)

    @asynccontextmanager
    async def _open(self, request: Request, headers: dict[str, str], read_s: float) -> AsyncIterator[httpx.Response]:
        response = await self._send(request, headers, read_s)
        try:
            if not response.is_success and response.status_code not in request.accept_status:
                raise await self._problem(response)
            yield response
        finally:
            await response.aclose()

    async def _send(self, request: Request, headers: dict[str, str], read_s: float) -> httpx.Response:
        content = request.content
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(request.body)
        built = self._http.build_request(
            request.method,
            request.path,
            params={name: value for name, value in request.params.items() if value is not None},
            headers=headers,
            content=content,
            timeout=httpx.Timeout(read_s, connect=CONNECT_S, write=ANSWER_S),
            **(request.multipart() if request.multipart else {}),
        )
        try:
            return await self._http.send(built, stream=True)
        except httpx.RequestError as error:
            raise self._unreachable(error) from error

    async def _problem(self, response: httpx.Response) -> PodiumError:
        try:
            return problem_error(response.status_code, response.headers, await _bounded(response, 1 << 20))
        except httpx.RequestError as error:
            return self._unreachable(error)

    async def _chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.aiter_bytes():
                yield chunk
        except httpx.ReadTimeout:
            return
        except httpx.RequestError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.RequestError) -> Unreachable:
        reason = str(error) or type(error).__name__
        return Unreachable(f"{self.url} cannot be reached ({reason}); check the URL, and that `podium up` runs there")


async def pause(retry: Retry, failure: PodiumError) -> None:
    """Wait until the next attempt; raises `failure` where another one does not help or the time is up."""
    delay_s = retry.delay_s(failure.retry_after_s) if passes_by_itself(failure) else None
    if delay_s is None:
        raise failure
    await asyncio.sleep(delay_s)


def checked_url(url: str) -> str:
    """The URL without its last slash; raises NotConfigured for what is not http or https."""
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise NotConfigured(f"the URL {url!r:.200} is not valid: {error}") from error
    host, port = parsed.raw_host.decode("ascii"), parsed.port or 80
    if parsed.scheme not in ("http", "https") or not _HOST.fullmatch(host) or not 0 < port < 65_536:
        raise NotConfigured(f"the URL {url!r:.200} must look like http://127.0.0.1:8090")
    return str(parsed).rstrip("/")


def checked_key(api_key: str) -> str:
    """The key; raises NotConfigured for what no header can carry."""
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise NotConfigured("the API key is empty or has characters that no key has; set PODIUM_API_KEY to a pod_… key")
    return key


async def _bounded(response: httpx.Response, max_bytes: int) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > max_bytes:
            raise TooLarge(f"the answer is larger than the {max_bytes} bytes this client takes")
    return bytes(content)

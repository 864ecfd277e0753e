"""The list of models is passed on; whatever else comes back is told in our own words, without the key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from podium.gateway.ensemble import MAX_BODY_BYTES, Ensemble
from podium.protocol.errors import NotConfigured, Unavailable, UpstreamFailed

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MODELS = b'{"object": "list", "data": [{"id": "small"}]}'


@asynccontextmanager
async def endpoint(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/base/v1/models", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(url: str | None, timeout_s: float = 20.0) -> AsyncIterator[Ensemble]:
    ensemble = Ensemble(url, "the-key", timeout_s)
    try:
        yield ensemble
    finally:
        await ensemble.close()


@pytest.mark.parametrize("path", ["/base", "/base/v1"])
async def test_the_list_is_passed_on_and_the_key_sent(path: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer the-key"
        return web.Response(body=MODELS)

    async with endpoint(handler) as url, asking(url + path) as ensemble:
        assert await ensemble.models() == MODELS


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b"{}", "ENSEMBLE_API_KEY"),
        (404, b"{}", "404"),
        (302, b"", "302"),
        (200, b"<html>", "JSON"),
        (200, b"[]", "JSON"),
        (200, b" " * (MAX_BODY_BYTES + 1), "more than"),
    ],
)
async def test_a_wrong_answer_is_the_endpoints_fault(status: int, body: bytes, said: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"location": "/elsewhere"})

    async with endpoint(handler) as url, asking(f"{url}/base") as ensemble:
        with pytest.raises(UpstreamFailed, match=said) as failed:
            await ensemble.models()
        assert "the-key" not in str(failed.value)


async def test_no_answer_is_told_apart() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport
        request.transport.abort()
        return response

    async with endpoint(handler) as url, asking(f"{url}/base") as ensemble:
        with pytest.raises(Unavailable, match="does not answer"):
            await ensemble.models()
    async with asking("http://127.0.0.1:1") as ensemble:
        with pytest.raises(Unavailable, match="does not answer"):
            await ensemble.models()


async def test_without_a_url_it_says_what_to_set() -> None:
    async with asking(None) as ensemble:
        with pytest.raises(NotConfigured, match="ENSEMBLE_URL"):
            await ensemble.models()

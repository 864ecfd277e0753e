"""Every request is counted, under few names."""

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response

from podium.protocol.errors import NotFound
from podium.server.dispatch import Dispatcher
from podium.server.metrics import HttpMetrics
from podium.web import endpoint


async def test_requests_are_counted_by_method_route_and_status() -> None:
    async def handler(request: Request) -> Response:
        if request.path_params["name"] == "gone":
            raise NotFound("gone")
        return Response("ok")

    metrics = HttpMetrics()
    app = Dispatcher(metrics=metrics)
    app.add("GET", "/things/{name}", endpoint(handler))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for path in ("/things/a", "/things/b", "/things/gone", "/x/y/z", "/x"):
            await client.get(path)
        await client.request("HEAD", "/things/a")
        for method in ("BREW", "DELETE", "WHISK"):
            await client.request(method, "/things/a")
    text = bytes(metrics.page().body).decode()
    counted = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "podium_http_request_seconds_count"
    }
    assert counted == {
        ("GET", "/things/{name}", "200"): 2,
        ("GET", "/things/{name}", "404"): 1,
        ("GET", "unmatched", "404"): 2,
        ("HEAD", "/things/{name}", "200"): 1,
        ("other", "/things/{name}", "405"): 2,
        ("DELETE", "/things/{name}", "405"): 1,
    }
    assert "process_open_fds" in text

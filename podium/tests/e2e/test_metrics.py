"""What both servers count while an agent is talked to, falls asleep and wakes."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from podium.client import AsyncPodium
from tests.support.platform import Platform, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROUTE = "/api/v1/instances/{instance_id}/messages"


async def scrape(url: str) -> dict[str, float]:
    """Samples by name, those with labels as `name{label,…}`."""
    async with httpx.AsyncClient() as http:
        response = await http.get(f"{url}/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        f"{sample.name}{{{','.join(sample.labels.values())}}}" if sample.labels else sample.name: sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_the_life_of_an_agent_is_counted(platform: Platform, client: AsyncPodium, agent: str) -> None:
    for _ in range(3):
        await client.send(agent, "echo x")
    await client.hibernate(agent)
    coordinator = (await client.coordinators())[0].url
    asleep = await scrape(coordinator)
    assert (asleep["podium_awake_instances"], asleep["podium_inbox_entries"]) == (0, 0)
    await client.send(agent, "fail 1")
    counted = await scrape(coordinator)
    assert counted["podium_attempts_total{complete}"] == 4
    assert counted["podium_attempts_total{exception}"] == 1
    assert counted["podium_attempt_seconds_count"] == 5
    assert counted["podium_starts_total{ready}"] == 3
    assert counted["podium_start_seconds_count"] == 3
    assert counted["podium_awake_instances"] == 1
    assert counted["podium_journal_sync_seconds_count"] > 0
    assert counted[f"podium_http_request_seconds_count{{POST,{ROUTE},200}}"] == 4
    public = await scrape(platform.url)
    assert public[f"podium_http_request_seconds_count{{POST,{ROUTE},200}}"] == 4
    assert not [name for name in {*public, *counted} if agent in name]


async def test_readers_are_counted(client: AsyncPodium, agent: str) -> None:
    coordinator = (await client.coordinators())[0].url
    before = (await scrape(coordinator))["podium_stream_readers"]
    events = client.events(agent)
    reading = await anext(aiter(events))
    assert reading
    assert (await scrape(coordinator))["podium_stream_readers"] == before + 1
    await events.aclose()

    async def gone() -> bool:
        return (await scrape(coordinator))["podium_stream_readers"] == before

    await until(gone)

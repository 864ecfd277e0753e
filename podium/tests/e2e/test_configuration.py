"""Secrets reach the agent and nothing else; configuration reaches running agents; the environment is what was asked for."""

import asyncio
import hashlib
import json
import signal
from pathlib import Path

import pytest

from podium.client import AsyncPodium
from podium.protocol.errors import Conflict, IdempotencyMismatch, InvalidRequest, NotConfigured, NotFound, TooLarge
from podium.records.bounds import MAX_CONFIG_BYTES
from tests.support.platform import AGENTS, Platform, deploy, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECRET = "hunter2-but-longer"


async def probe(client: AsyncPodium, folder: Path, **rest: object) -> str:
    return (await client.create(await deploy(client, AGENTS / "probe", folder), **rest)).instance_id  # type: ignore[arg-type]


async def test_secrets_reach_the_agent_and_nothing_else(client: AsyncPodium, platform: Platform, tmp_path: Path) -> None:
    instance = await probe(client, tmp_path, secrets={"token": SECRET})
    expected = hashlib.sha256(SECRET.encode()).hexdigest()
    assert (await client.send(instance, "secret token")).text == expected
    assert SECRET not in platform.agent(instance).environ().values()
    await client.hibernate(instance)
    platform.part("coordinator").send_signal(signal.SIGKILL)
    assert (await client.send(instance, "secret token")).text == expected
    body = repr(await client.instance(instance)) + repr(await client.instances())
    assert SECRET not in body + platform.output
    assert [str(path) for path in platform.data.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
    assert [path for path in platform.data.rglob("spec*") if b'"v1.' in path.read_bytes()]
    await client.delete(instance)


async def test_a_later_life_has_none_of_the_secrets(client: AsyncPodium, tmp_path: Path) -> None:
    first = await probe(client, tmp_path, agent_id="reborn", secrets={"token": "one"})
    await client.delete(first)
    await probe(client, tmp_path, agent_id="reborn", secrets={"other": "two"})
    assert (await client.send("reborn", "secret other")).text == hashlib.sha256(b"two").hexdigest()
    await client.delete("reborn")


async def test_the_environment_is_given_and_what_is_ours_refused(client: AsyncPodium, tmp_path: Path) -> None:
    instance = await probe(client, tmp_path, environment={"GREETING": "hello", "TZ": "Europe/Berlin"})
    seen = json.loads((await client.send(instance, "look")).text)["env"]
    assert (seen["GREETING"], seen["AGENT_ID"]) == ("hello", instance)
    await client.delete(instance)
    for bad in ({"LD_PRELOAD": "/x.so"}, {"PATH": "/tmp"}, {"AGENT_ID": "other"}, {"1": ""}):
        with pytest.raises(InvalidRequest):
            await probe(client, tmp_path, environment=bad)
    with pytest.raises(InvalidRequest):
        await probe(client, tmp_path, secrets={"a b": SECRET})


async def test_the_same_key_with_another_secret_is_another_body(client: AsyncPodium, platform: Platform, tmp_path: Path) -> None:
    import httpx

    deployment = await deploy(client, AGENTS / "probe", tmp_path)
    headers = {"Authorization": f"Bearer {platform.key}", "Idempotency-Key": "with-secret"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers) as http:
        bodies = [{"deployment_id": deployment, "secrets": {"token": token}} for token in ("one", "one", "two")]
        answers = [await http.post("/api/v1/instances", json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 201, 422]
    assert answers[2].json()["code"] == IdempotencyMismatch.code
    await client.delete(answers[0].json()["instance_id"])


async def configured(client: AsyncPodium, instance: str) -> tuple[dict, list]:
    config, changes = json.loads((await client.send(instance, "config")).text)
    return config, changes


async def test_a_changed_runtime_configuration_reaches_running_agents_and_wakes_none(client: AsyncPodium, tmp_path: Path) -> None:
    awake = await probe(client, tmp_path, config={"own": 1, "both": "own"})
    asleep = await probe(client, tmp_path)
    await client.send(awake, "echo x")
    await client.hibernate(asleep)
    assert await client.configure({"level": 1, "both": "runtime"}) == {"level": 1, "both": "runtime"}
    assert await client.config() == {"level": 1, "both": "runtime"}

    async def told() -> bool:
        return (await configured(client, awake))[1] == [{"level": 1}]

    await until(told)
    assert (await configured(client, awake))[0].items() >= {"own": 1, "both": "own", "level": 1}.items()
    assert (await client.instance(asleep)).status == "hibernated"
    config, changes = await configured(client, asleep)
    assert (config["level"], config["both"], changes) == (1, "runtime", [])
    for instance in (awake, asleep):
        await client.delete(instance)
    await client.configure({})


async def test_what_changes_while_discovery_is_away_arrives_in_the_end(
    client: AsyncPodium, platform: Platform, tmp_path: Path
) -> None:
    instance = await probe(client, tmp_path)
    await client.send(instance, "echo x")
    platform.part("valkey").send_signal(signal.SIGKILL)
    await client.configure({"level": 2})
    config, _ = await configured(client, instance)
    deadline = asyncio.get_running_loop().time() + 60
    while config.get("level") != 2:
        assert asyncio.get_running_loop().time() < deadline
        config, _ = await configured(client, instance)
    await client.delete(instance)
    await client.configure({})


async def test_the_runtime_configuration_is_bounded(client: AsyncPodium) -> None:
    with pytest.raises(TooLarge):
        await client.configure({"a": "x" * MAX_CONFIG_BYTES})


async def test_without_an_endpoint_for_models_it_says_what_to_set(client: AsyncPodium) -> None:
    with pytest.raises(NotConfigured, match="ENSEMBLE_URL"):
        await client.models()


async def test_a_deployment_goes_once_nobody_uses_it(client: AsyncPodium, tmp_path: Path) -> None:
    source = tmp_path / "doomed"
    source.mkdir()
    for name in ("probe.py", "podium.toml"):
        text = (AGENTS / "probe" / name).read_text().replace('type = "probe"', 'type = "doomed"')
        (source / name).write_text(text)
    deployment = await deploy(client, source, tmp_path)
    instance = (await client.create(deployment)).instance_id
    with pytest.raises(Conflict, match=instance):
        await client.delete_deployment(deployment)
    assert (await client.send(instance, "echo on")).text == "on"
    await client.delete(instance)
    await client.delete_deployment(deployment)
    with pytest.raises(NotFound):
        await client.create(deployment)
    assert await deploy(client, source, tmp_path) == deployment

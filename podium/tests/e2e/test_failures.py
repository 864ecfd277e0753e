"""Agents that cannot be started say why, and do not stay in between."""

from pathlib import Path

import pytest

from podium.client import AsyncPodium
from podium.protocol.errors import InstanceFailed, InvalidBundle, VersionExists
from tests.support.platform import AGENTS, deploy, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def variant(folder: Path, name: str, replace: dict[str, str] | None = None, files: dict[str, str] | None = None) -> Path:
    """The probe under another type, with texts replaced and files added."""
    source = folder / name
    source.mkdir()
    for file in (AGENTS / "probe").glob("*.*"):
        text = file.read_text().replace('type = "probe"', f'type = "{name}"')
        for old, new in (replace or {}).items():
            text = text.replace(old, new)
        (source / file.name).write_text(text)
    for path, text in (files or {}).items():
        (source / path).write_text(text)
    return source


async def failed(client: AsyncPodium, instance_id: str) -> str:
    async def reason() -> str | None:
        instance = await client.instance(instance_id)
        return instance.reason if instance.status == "failed" else None

    return await until(reason, 60)


async def test_a_broken_dependency_fails_with_the_installers_words(client: AsyncPodium, tmp_path: Path) -> None:
    source = variant(tmp_path, "broken", files={"requirements.txt": "iniconfig==99.99.99\n"})
    instance = (await client.create(await deploy(client, source, tmp_path))).instance_id
    assert "iniconfig" in await failed(client, instance)
    with pytest.raises(InstanceFailed, match="iniconfig"):
        await client.wake(instance)
    with pytest.raises(InstanceFailed, match="iniconfig"):
        await client.send(instance, "echo x")
    with pytest.raises(InstanceFailed, match="iniconfig"):
        async for _ in client.stream(instance, "echo x"):
            pass
    assert (await client.instance(instance)).queued == 3  # the wake too
    await client.delete(instance)


async def test_a_bundle_that_cannot_be_imported_says_so_to_those_who_wait(client: AsyncPodium, tmp_path: Path) -> None:
    source = variant(tmp_path, "unimportable", {"import asyncio": "import no_such_module"})
    instance = (await client.create(await deploy(client, source, tmp_path))).instance_id
    assert "no_such_module" in await failed(client, instance)
    status = await client.instance(instance)
    assert status.last_exit
    assert any("no_such_module" in line for line in status.last_exit.log)
    await client.delete(instance)


async def test_a_real_dependency_is_installed_once_and_imported(client: AsyncPodium, tmp_path: Path) -> None:
    source = variant(
        tmp_path, "withdep", {"import asyncio": "import asyncio\nimport iniconfig"}, {"requirements.txt": "iniconfig\n"}
    )
    deployment = await deploy(client, source, tmp_path)
    for _ in range(2):
        instance = (await client.create(deployment)).instance_id
        assert (await client.send(instance, "echo x")).text == "x"
        await client.delete(instance)


async def test_a_turn_that_takes_too_long_is_ended(client: AsyncPodium, tmp_path: Path) -> None:
    source = variant(tmp_path, "hasty", {'turn_timeout = "20s"': 'turn_timeout = "500ms"\nmax_attempts = 1'})
    instance = (await client.create(await deploy(client, source, tmp_path))).instance_id
    kinds = []
    async for frame in client.stream(instance, "tokens 1000 0.05"):
        kinds.append(frame)
    assert kinds[-2].content["outcome"] == "timeout"
    assert kinds[-1].event_type == "error"
    assert (await client.send(instance, "echo next")).text == "next"
    await client.delete(instance)


async def test_versions_are_immutable_and_entrypoints_must_exist(client: AsyncPodium, tmp_path: Path) -> None:
    first = await deploy(client, variant(tmp_path, "fixed"), tmp_path)
    assert first == await deploy(client, tmp_path / "fixed", tmp_path)
    (tmp_path / "fixed" / "probe.py").write_text("x = 1\n")
    with pytest.raises(VersionExists) as refused:
        await deploy(client, tmp_path / "fixed", tmp_path)
    assert refused.value.extra["next_version"] == "1.0.1"
    with pytest.raises(InvalidBundle, match="nowhere"):
        await deploy(client, variant(tmp_path, "lost", {"probe:Probe": "nowhere:Probe"}), tmp_path)

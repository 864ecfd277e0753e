"""What a package may try while it is installed, from an index of our own."""

import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from podium.deployments.builder import Builder
from podium.deployments.environment import EnvironmentFailed, Environments
from podium.deployments.interpreter import Interpreter
from podium.deployments.requirements import Dependencies
from podium.deployments.sdk_wheel import build_sdk_wheel
from podium.deployments.uv_binary import provide_uv
from tests.integration.deployments.package_index import PackageIndex, serving

Install = Callable[..., Awaitable[Path]]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    with serving(tmp_path / "index") as index:
        yield index


@pytest.fixture
def install(data: Path, build_uid: int | None, interpreter: Interpreter, index: PackageIndex) -> Install:
    """Installs requirements from the index alone."""

    async def install(*requirements: str, tree_bytes: int = 1 << 30) -> Path:
        builder = Builder(data, build_uid, tree_bytes=tree_bytes)
        await builder.remove_leftovers()
        tools = data / "tools"
        tools.mkdir(exist_ok=True)
        sdk, uv = build_sdk_wheel(tools), provide_uv(tools, build_uid)
        environments = Environments(data, builder, interpreter, sdk, uv, {"UV_DEFAULT_INDEX": index.url})
        return await environments.prepare(Dependencies(requirements=requirements))

    return install


async def test_no_code_runs(install: Install, index: PackageIndex, data: Path) -> None:
    mark = data / "mark"
    mark.mkdir(mode=0o777)
    mark.chmod(0o777)
    code = f"import os; open(f'{mark}/' + str(os.getpid()), 'w').close()"
    index.add_wheel("evil", "1.0", {"evil.pth": code + "\n", "sitecustomize.py": code, "evil.py": code, "compileall.py": code})
    python = await install("evil")
    assert list(mark.iterdir()) == []
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    assert (site / "evil.pth").is_file()
    assert list((site / "__pycache__").glob("evil.*.pyc"))
    subprocess.run([python, "-I", "-c", ""], check=True, env={})
    assert len(list(mark.iterdir())) == 1  # it would have told


async def test_source_is_never_built(install: Install, index: PackageIndex, data: Path) -> None:
    index.add_file("onlysource", "onlysource-1.0.tar.gz", b"not even an archive")
    with pytest.raises(EnvironmentFailed) as failed:
        await install("onlysource")
    assert "onlysource" in str(failed.value)
    assert "wheel" in str(failed.value)
    assert list((data / "building").iterdir()) == []


async def test_our_name_is_never_taken_from_an_index(install: Install, index: PackageIndex) -> None:
    index.add_wheel("podium", "99.0", {"podium/__init__.py": "__version__ = 'stolen'"})
    index.add_wheel("friend", "1.0", {})
    python = await install("friend")
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    assert "stolen" not in (site / "podium" / "__init__.py").read_text()


@pytest.mark.parametrize("path", ["../../../../../../outside.py", "/tmp/podium-outside.py"])
async def test_no_wheel_writes_outside(install: Install, index: PackageIndex, data: Path, path: str) -> None:
    index.add_wheel("escape", "1.0", {path: "x"})
    with suppress(EnvironmentFailed):
        await install("escape")
    assert not list(data.rglob("*outside.py"))
    assert not list(data.parent.glob("*outside.py"))


async def test_a_huge_one_is_stopped(install: Install, index: PackageIndex, data: Path) -> None:
    index.add_wheel("huge", "1.0", {f"huge/{number}.txt": "x" * (4 << 20) for number in range(16)})
    with pytest.raises(EnvironmentFailed, match="wrote more than"):
        await install("huge", tree_bytes=16 << 20)
    assert list((data / "building").iterdir()) == []
    assert not (data / "environments").exists()

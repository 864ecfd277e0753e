import subprocess
from pathlib import Path

from podium.deployments.uv_binary import provide_uv


def test_our_own_where_nobody_else_runs_it(data: Path) -> None:
    assert provide_uv(data, None).name == "uv"
    assert list(data.iterdir()) == []


def test_one_for_the_build_uid(data: Path, build_uid: int | None) -> None:
    found = provide_uv(data, 12345 if build_uid is None else build_uid)
    assert [path.name for path in data.iterdir()] == [found.name]
    done = subprocess.run([found, "--version"], user=build_uid, group=build_uid, cwd="/", env={}, capture_output=True, check=True)
    assert f"uv-{done.stdout.decode().split()[1]}" == found.name


def test_a_damaged_one_is_replaced(data: Path) -> None:
    found = provide_uv(data, 12345)
    size = found.stat().st_size
    found.unlink()
    found.write_bytes(b"torn")
    assert provide_uv(data, 12345) == found
    assert found.stat().st_size == size
    assert found.stat().st_mode & 0o555 == 0o555

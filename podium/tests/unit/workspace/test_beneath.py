import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podium.workspace import beneath

Locate = Callable[[int, list[str]], int]


@pytest.fixture(params=["openat2", "stepwise"])
def locate(request: pytest.FixtureRequest) -> Locate:
    if request.param == "stepwise":
        return beneath.locate_stepwise
    if not beneath.has_openat2():
        pytest.skip("this kernel has no openat2, or a filter hides it")
    return beneath.locate


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root/d/e").mkdir(parents=True)
    (tmp_path / "root/d/f").write_text("1")
    (tmp_path / "root/link").symlink_to("d")
    (tmp_path / "root/d/up").symlink_to("../..")
    fd = os.open(tmp_path / "root", os.O_PATH)
    yield fd
    os.close(fd)


def found(fd: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    finally:
        os.close(fd)


@pytest.mark.parametrize("path", ["", "d", "d/e", "d/f", "link", "d/up"])
def test_it_finds_what_is_there_and_the_last_link_itself(locate: Locate, root_fd: int, tmp_path: Path, path: str) -> None:
    assert found(locate(root_fd, path.split("/") if path else [])) == str(tmp_path / "root" / path)


@pytest.mark.parametrize("path", ["link/f", "d/up/root", "d/f/x", "nope", "nope/x", "x" * 300])
def test_it_fails_on_links_on_the_way_and_what_is_not_there(locate: Locate, root_fd: int, path: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):
        locate(root_fd, path.split("/"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_is_opened_for_reading(locate: Locate, root_fd: int) -> None:
    fd = locate(root_fd, ["d", "f"])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(fd, 1)
    assert not os.get_inheritable(fd)
    os.close(fd)

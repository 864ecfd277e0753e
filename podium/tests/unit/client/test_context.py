"""The context file and who wins over it."""

import os
from pathlib import Path

import pytest

from podium.client.context import Context, context_path, read_context, resolve, write_context
from podium.client.errors import NotConfigured


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("PODIUM_URL", "PODIUM_API_KEY", "PODIUM_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def test_what_is_written_is_read_and_only_its_owner_can(home: Path) -> None:
    path = write_context("http://127.0.0.1:8090", "pod_admin_x", home / "data")
    assert path == home / "config/podium/context.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert read_context() == Context(url="http://127.0.0.1:8090", api_key="pod_admin_x", data=str(home / "data"))


def test_writing_again_replaces_and_leaves_nothing_beside_it() -> None:
    write_context("http://a", "pod_1")
    path = write_context("http://b", "pod_2")
    assert [entry.name for entry in path.parent.iterdir()] == ["context.json"]
    assert read_context() == Context(url="http://b", api_key="pod_2")


def test_a_failed_write_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_context("http://a", "pod_1")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_context("http://b", "pod_2")
    assert [entry.name for entry in path.parent.iterdir()] == ["context.json"]
    assert read_context() == Context(url="http://a", api_key="pod_1")


def test_a_named_file_and_the_home_directory(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(home))
    assert context_path() == home / ".config/podium/context.json"
    monkeypatch.setenv("PODIUM_CONTEXT", str(home / "mine.json"))
    assert write_context("http://a", "pod_1") == home / "mine.json" == context_path()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"url": 5}', b"\xff"])
def test_a_broken_file_is_named(home: Path, content: bytes) -> None:
    path = home / "broken.json"
    path.write_bytes(content)
    with pytest.raises(NotConfigured, match=r"broken\.json cannot be used"):
        read_context(path)


def test_arguments_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_context("http://file", "pod_file")
    assert resolve(None, None) == Context(url="http://file", api_key="pod_file")
    monkeypatch.setenv("PODIUM_API_KEY", "pod_env")
    assert resolve(None, None) == Context(url="http://file", api_key="pod_env")
    monkeypatch.setenv("PODIUM_URL", "http://env")
    assert resolve(None, None) == Context(url="http://env", api_key="pod_env")
    assert resolve("http://arg", "pod_arg") == Context(url="http://arg", api_key="pod_arg")


def test_the_files_key_goes_to_the_files_url_only() -> None:
    write_context("http://file", "pod_file")
    assert resolve("http://file/", None).api_key == "pod_file"
    with pytest.raises(NotConfigured, match="no API key is named for http://other"):
        resolve("http://other", None)


def test_nothing_at_all_says_what_to_do() -> None:
    with pytest.raises(NotConfigured, match="podium up"):
        resolve(None, None)

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config import duration_or_never_s, duration_s, kinds, size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("1d", 86400), ("1.5s", 1.5), ("1m1ms", 60.001), ("2h5s", 7205)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0s", "30", "5 m", "-5m", "m", "30m1h", "1e3s", "5M", "never", "٣s", "9999999d", "5m\n", "999999d"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_s(text)


def test_never_is_none() -> None:
    assert duration_or_never_s("never") is None
    assert duration_or_never_s("5m") == 300


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("7B", 7), ("64KiB", 65536), ("512MiB", 512 << 20), ("10MB", 10_000_000), ("1GiB", 1 << 30), ("2TB", 2 * 10**12)],
)
def test_sizes(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "0MiB", "-1", "1.5GiB", "1 MiB", "1mib", "MiB", "1Mi", "999999999TiB", "1_000"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        size_bytes(text)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for kind in (kinds.PORT, kinds.COUNT, kinds.HOST, kinds.NAME, kinds.PATH, kinds.DURATION, kinds.SIZE, kinds.HTTP_URL,
                 kinds.VALKEY_URL, kinds.ADMIN_KEY, kinds.SECRET):  # fmt: skip
        try:
            kind.read(text)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("text", "ok"), [("1", True), ("65535", True), ("0", False), ("65536", False), ("+1", False), ("1 ", False)]
)
def test_ports(text: str, ok: bool) -> None:
    assert accepted(kinds.PORT, text) == ok


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("http://h:9090", True), ("https://h/", True), ("http://[::1]:1", True), ("h:1", False), ("http://h/x", False),
        ("http://u:p@h", False), ("http://h?x", False), ("http://h:99999", False), ("http://", False), ("http://[", False),
    ],
)  # fmt: skip
def test_http_urls(text: str, ok: bool) -> None:
    assert accepted(kinds.HTTP_URL, text) == ok


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("redis://valkey:6379", True), ("valkeys://u:p@h/0", True), ("unix:///run/v.sock", True), ("unix://", False),
        ("http://h", False), ("valkey:6379", False),
    ],
)  # fmt: skip
def test_valkey_urls(text: str, ok: bool) -> None:
    assert accepted(kinds.VALKEY_URL, text) == ok


def test_paths_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/u")
    assert kinds.PATH.read("data") == tmp_path / "data"
    assert kinds.PATH.read("~/data") == Path("/home/u/data")


def test_secrets_are_counted_in_bytes() -> None:
    assert accepted(kinds.SECRET, "ä" * 8)
    assert not accepted(kinds.SECRET, "x" * 15)
    assert accepted(kinds.ADMIN_KEY, "pod_admin_" + "x" * 16)
    assert not accepted(kinds.ADMIN_KEY, "pod_admin_...")


def accepted(kind: kinds.Kind, text: str) -> bool:
    try:
        kind.read(text)
    except ValueError:
        return False
    return True

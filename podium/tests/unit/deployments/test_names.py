import pytest

from podium.deployments.names import Keys, newest, next_version, parse_reference
from podium.protocol.errors import InvalidRequest


def test_references() -> None:
    assert parse_reference("notes") == ("notes", None, None)
    assert parse_reference("notes:1.0.0-rc.1+build") == ("notes", "1.0.0-rc.1+build", None)
    assert parse_reference("notes:1.0.0@0123abcd") == ("notes", "1.0.0", "0123abcd")


@pytest.mark.parametrize(
    "text",
    ["", "Notes", "notes:", "notes:1", "notes@0123abcd", "notes:1.0.0@", "notes:1.0.0@0123ABCD", "notes:1.0.0@0123abcd0", "../x"],
)
def test_no_references(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_reference(text)


def test_newest() -> None:
    assert newest(["1.2.0", "1.10.0", "1.9.9", "2.0.0-rc.1"]) == "1.10.0"
    assert newest(["1.0.0-rc.1"]) is None
    assert newest([]) is None
    assert newest(["1.0.0+a", "1.0.0+b"]) == "1.0.0+b"


@pytest.mark.parametrize(
    ("version", "taken", "following"),
    [
        ("1.0.0", ["1.0.0"], "1.0.1"),
        ("1.0.0", ["1.0.0", "1.4.2", "0.9.0"], "1.4.3"),
        ("1.0.0", [], "1.0.1"),
        ("1.0.0+x", ["1.0.0+x"], "1.0.1"),
        ("1.0.0-dev.1", ["1.0.0-dev.1", "1.0.0-dev.9", "1.0.0-dev.10", "1.1.0-dev.50"], "1.0.0-dev.11"),
        ("1.0.0-rc", ["1.0.0-rc"], "1.0.0-rc.1"),
        ("1.0.0-7", ["1.0.0-7"], "1.0.0-8"),
    ],
)
def test_next_version(version: str, taken: list[str], following: str) -> None:
    assert next_version(version, taken) == following


def test_keys() -> None:
    keys = Keys("dev")
    assert keys.bundle("notes", "1.0.0") == "dev/deployments/notes/1.0.0/notes-1.0.0.tar.gz"
    assert keys.recorded(keys.record("notes", "1.0.0")) == ("notes", "1.0.0")
    assert keys.recorded(keys.owner("notes")) is None
    assert keys.recorded(keys.bundle("notes", "1.0.0")) is None

"""Names and cursors: what is accepted, what is refused, and the order of new ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.errors import InvalidRequest
from podium.protocol.ids import (
    AGENT_TYPE,
    INSTANCE_ID,
    MESSAGE_ID,
    Cursor,
    DeploymentId,
    checked,
    checked_version,
    new_id,
    parse_cursor,
)


@pytest.mark.parametrize(
    "value", ["1.0.0", "0.0.0", "1.2.3-alpha.1", "1.0.0-dev.3", "1.0.0+build.5", "1.0.0--", "10.20.30-0a.x-y"]
)
def test_versions(value: str) -> None:
    assert checked_version(value) == value


@pytest.mark.parametrize(
    "value", ["", "1", "1.0", "01.0.0", "1.0.0-", "1.0.0-01", "v1.0.0", "1.0.0\n", "1.0.0-ä", "1.0." + "9" * 130]
)
def test_what_is_no_version(value: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_version(value)


@pytest.mark.parametrize(
    ("kind", "pattern", "good", "bad"),
    [
        ("agent_type", AGENT_TYPE, ["a", "my-agent2", "a" * 63], ["", "A", "2a", "a_b", "a" * 64, "a\n", "../a"]),
        ("agent_id", INSTANCE_ID, ["a", "A-b_9", "9" * 64], ["", "_a", "a.b", "a" * 65, "a\n", "ä"]),
        ("message id", MESSAGE_ID, ["a", "a:b.c-d_e", "x" * 128], ["", "a b", "x" * 129, "a/b", "a\n"]),
    ],
)
def test_names(kind: str, pattern: "object", good: list[str], bad: list[str]) -> None:
    for value in good:
        assert checked(kind, pattern, value) == value  # type: ignore[arg-type]
    for value in bad:
        with pytest.raises(InvalidRequest, match=kind):
            checked(kind, pattern, value)  # type: ignore[arg-type]


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_a_cursor_reads_as_it_was_written(epoch: int, seq: int) -> None:
    assert parse_cursor(str(Cursor(epoch, seq))) == Cursor(epoch, seq)


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "1.2.3", "-1.2", "1.٣", "1.2\n", f"1.{'9' * 19}"])
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"epoch\.seq"):
        parse_cursor(text)


def test_new_ids_are_instance_ids_and_differ() -> None:
    ids = [new_id("agent") for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(INSTANCE_ID.fullmatch(value) for value in ids)
    assert [value[:10] for value in ids] == sorted(value[:10] for value in ids)


def test_a_deployment_id_names_type_version_and_digest() -> None:
    assert str(DeploymentId("notes", "1.0.0", "0123abcd")) == "notes:1.0.0@0123abcd"

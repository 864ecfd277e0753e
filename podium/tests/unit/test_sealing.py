"""Sealed is what only the key opens, and only for what it was sealed for."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.sealing import CannotUnseal, Sealer

KEY, OTHER = "a key for tests only", "another key for tests"
FOR = ("instance secrets", "tenant", "agent_1", "1")


@given(st.binary(max_size=200))
def test_what_was_sealed_is_opened(content: bytes) -> None:
    assert Sealer(KEY).unseal(Sealer(KEY).seal(content, *FOR), *FOR) == content


def test_equal_contents_look_different() -> None:
    sealer = Sealer(KEY)
    assert len({sealer.seal(b"same", *FOR) for _ in range(20)}) == 20
    assert b"same" not in base64.urlsafe_b64decode(sealer.seal(b"same", *FOR).split(".")[2])


@pytest.mark.parametrize(
    "other", [FOR[:3], (*FOR, ""), ("instance secrets", "tenant", "agent_1", "2"), ("instance secrets", "tenantagent_1", "", "1")]
)
def test_for_something_else_it_stays_closed(other: tuple[str, ...]) -> None:
    with pytest.raises(CannotUnseal, match="something else"):
        Sealer(KEY).unseal(Sealer(KEY).seal(b"x", *FOR), *other)


def test_a_changed_key_opens_what_the_one_before_has_sealed() -> None:
    old = Sealer(KEY).seal(b"x", *FOR)
    changed = Sealer(OTHER, KEY)
    assert changed.unseal(old, *FOR) == b"x"
    assert Sealer(OTHER).unseal(changed.seal(b"y", *FOR), *FOR) == b"y"
    with pytest.raises(CannotUnseal, match="SECRETS_KEY_PREVIOUS"):
        Sealer(OTHER).unseal(old, *FOR)


SEALED = Sealer(KEY).seal(b"contents", *FOR)  # 36 bytes of nonce, content and tag: base64 without unused bits


@given(st.integers(0, len(SEALED) - 1), st.characters(max_codepoint=255))
def test_altered_texts_are_refused(at: int, character: str) -> None:
    altered = SEALED[:at] + character + SEALED[at + 1 :]
    if altered != SEALED:
        with pytest.raises(CannotUnseal):
            Sealer(KEY).unseal(altered, *FOR)


def test_fingerprints_tell_contents_and_keys_apart() -> None:
    assert Sealer(KEY).fingerprint(b"x") == Sealer(KEY).fingerprint(b"x")
    assert len({Sealer(key).fingerprint(content) for key in (KEY, OTHER) for content in (b"x", b"y")}) == 4

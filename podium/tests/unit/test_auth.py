"""Who calls: nothing but a key that is known, or a header that our own parts signed for this very request."""

import base64
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.auth import MAX_CLOCK_SKEW_S, PLATFORM_TENANT, SIGNATURE_TTL_S, Caller, Keys, Signer, derive_key
from podium.protocol.errors import Forbidden, Unauthorized

SECRETS_KEY = "0123456789abcdef"
NOW = 1_700_000_000.0
CALLER = Caller(tenant_id="t1", permissions=("instances:read", "files:read"), request_id="req_1")
TARGET = "/api/v1/instances/a/events?after=1.2"
ADMIN_KEY = "pod_admin_0123456789abcdef"

callers = st.builds(
    Caller,
    tenant_id=st.text(max_size=20),
    admin=st.booleans(),
    permissions=st.lists(st.text(max_size=10), max_size=3).map(tuple),
    request_id=st.text(max_size=20),
)


def at(now: float, secrets_key: str = SECRETS_KEY) -> Signer:
    return Signer(secrets_key, lambda: now)


def header() -> str:
    return at(NOW).sign(CALLER, "GET", TARGET)


def refused(text: str, signer: Signer | None = None, method: str = "GET", target: str = TARGET) -> None:
    with pytest.raises(Unauthorized):
        (signer or at(NOW)).verify(text, method, target)


# ---- the signed caller


@given(callers, st.sampled_from(["GET", "POST", "DELETE"]), st.text(max_size=40))
def test_what_one_part_signs_another_believes(caller: Caller, method: str, target: str) -> None:
    signed = at(NOW).sign(caller, method, target)
    assert signed.isascii()
    assert at(NOW + 1).verify(signed, method, target) == caller


def test_it_is_believed_until_it_expires_and_clocks_may_differ_a_little() -> None:
    signed = header()
    for later_s in (-MAX_CLOCK_SKEW_S, 0, SIGNATURE_TTL_S):
        assert at(NOW + later_s).verify(signed, "GET", TARGET) == CALLER
    for later_s in (-MAX_CLOCK_SKEW_S - 1, SIGNATURE_TTL_S + 1, 1e9):
        refused(signed, at(NOW + later_s))


def test_it_is_worth_nothing_for_another_request() -> None:
    refused(header(), method="POST")
    refused(header(), target=TARGET + "0")
    refused(header(), target=TARGET.partition("?")[0])
    refused(header(), target="/api/v1/instances/b/events?after=1.2")


def test_it_is_worth_nothing_under_another_key() -> None:
    refused(header(), at(NOW, SECRETS_KEY + "0"))
    refused(header(), at(NOW, ""))


@given(st.sampled_from([0, 1]), st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_is_noticed(part: int, place: int, bit: int) -> None:
    parts = [bytearray(base64.urlsafe_b64decode(text)) for text in header().split(".")]
    parts[part][place % len(parts[part])] ^= 1 << bit
    refused(".".join(base64.urlsafe_b64encode(data).decode() for data in parts))


def _resigned(change: Callable[[bytes], bytes]) -> str:
    body, _, signature = header().partition(".")
    return base64.urlsafe_b64encode(change(base64.urlsafe_b64decode(body))).decode() + "." + signature


def test_nobody_makes_himself_administrator() -> None:
    refused(_resigned(lambda body: body.replace(b'"admin":false', b'"admin":true')))
    refused(_resigned(lambda body: body.replace(b'"t1"', b'"t2"')))


@pytest.mark.parametrize("cut", ["", ".", "..", "x", header().partition(".")[0], header().partition(".")[0] + ".", header()[:-9]])
def test_a_part_of_one_is_not_believed(cut: str) -> None:
    refused(cut)


@given(st.text(max_size=200))
def test_garbage_is_refused_and_nothing_else(text: str) -> None:
    refused(text)


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.text(st.characters(max_codepoint=255), max_size=60))
def test_garbage_around_a_real_one_makes_no_other_caller(before: str, after: str) -> None:
    with contextlib.suppress(Unauthorized):
        assert at(NOW).verify(before + header() + after, "GET", TARGET) == CALLER


def test_keys_for_different_purposes_and_secrets_differ() -> None:
    keys = [derive_key(secret, purpose) for secret in ("a", "b", "") for purpose in ("caller", "secrets")]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}
    assert derive_key("a", "caller") == keys[0]


# ---- permissions


def test_a_caller_may_what_its_key_lists() -> None:
    CALLER.require("files:read")
    with pytest.raises(Forbidden, match="files:write"):
        CALLER.require("files:write")


def test_an_administrator_may_everything_and_nobody_is_one_by_permission() -> None:
    Caller(tenant_id="t1", admin=True).require("admin")
    with pytest.raises(Forbidden):
        CALLER.require("admin")


# ---- keys of clients


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_administrators_key_is_known(scheme: str) -> None:
    caller = Keys(ADMIN_KEY).caller(f"{scheme} {ADMIN_KEY}", "req_1")
    assert caller == Caller(tenant_id=PLATFORM_TENANT, admin=True, request_id="req_1")


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Bearer", "Bearer ", f"Basic {ADMIN_KEY}", ADMIN_KEY, f"Bearer {ADMIN_KEY[:-1]}", f"Bearer {ADMIN_KEY}0",
        f"Bearer {ADMIN_KEY.upper()}", f"Bearer {ADMIN_KEY} {ADMIN_KEY}", "Bearer pod_0123456789abcdef",
    ],
)  # fmt: skip
def test_no_other_key_is(authorization: str | None) -> None:
    with pytest.raises(Unauthorized) as error:
        Keys(ADMIN_KEY).caller(authorization, "req_1")
    assert ADMIN_KEY not in error.value.detail


@given(st.text(max_size=60))
def test_any_other_text_is_refused_and_nothing_else(text: str) -> None:
    for authorization in (text, f"Bearer {text}"):
        with pytest.raises(Unauthorized):
            Keys(ADMIN_KEY).caller(authorization, "req_1")

"""Documents that could be decoded and would do harm later."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.documents import MAX_DOCUMENT_DEPTH, check_document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@given(JSON)
def test_what_can_be_journaled_is_let_through(value: Any) -> None:
    check_document(msgspec.json.encode(value))


@pytest.mark.parametrize("body", [nested(MAX_DOCUMENT_DEPTH), b"[" + b"[]," * 5000 + b"[]]", b'"1234567890123456789012"'])
def test_many_containers_and_long_digits_alone_are_nothing_bad(body: bytes) -> None:
    check_document(body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (nested(MAX_DOCUMENT_DEPTH + 1), "deep"),
        (b'{"a":[[' + nested(MAX_DOCUMENT_DEPTH) + b"]]}", "deep"),
        (b'{"a":18446744073709551616}', "64 bits"),
        (b"[-9223372036854775809]", "64 bits"),
        (b"[" + b"9" * 4000 + b"]", "64 bits"),
    ],
)
def test_what_cannot_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_document(body)

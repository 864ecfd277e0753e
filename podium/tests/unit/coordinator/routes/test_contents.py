"""Ranges of files, as RFC 9110 section 14 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.coordinator.routes.contents import byte_range

SIZE = 10_000
"""The representation of the RFC's examples."""
WHOLE = (0, SIZE, False)


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        # RFC 9110, 14.1.2
        ("bytes=0-499", (0, 500, True)),
        ("bytes=500-999", (500, 1000, True)),
        ("bytes=-500", (9500, 10_000, True)),
        ("bytes=9500-", (9500, 10_000, True)),
        ("bytes=0-0", (0, 1, True)),
        ("bytes=-1", (9999, 10_000, True)),
        # beyond the end
        ("bytes=9999-20000", (9999, 10_000, True)),
        ("bytes=0-", (0, 10_000, True)),
        ("bytes=-20000", (0, 10_000, True)),
        ("bytes= 0-499 ", (0, 500, True)),
        # cannot be satisfied
        ("bytes=10000-", None),
        ("bytes=10000-20000", None),
        ("bytes=-0", None),
        ("bytes=5-4", None),
        # none, several, or not understood: the whole
        (None, WHOLE),
        ("", WHOLE),
        ("bytes", WHOLE),
        ("bytes=", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=7", WHOLE),
        ("bytes=0-0,-1", WHOLE),
        ("bytes=500-600,601-999", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=--5", WHOLE),
        ("bytes=+1-+5", WHOLE),
        ("bytes=1_0-20", WHOLE),
        ("bytes=٣-٤", WHOLE),
        ("bytes=²-", WHOLE),
        (f"bytes={'9' * 5000}-", WHOLE),
        ("lines=0-4", WHOLE),
        ("0-499", WHOLE),
    ],
)
def test_a_range_header(header: str | None, answer: tuple[int, int, bool] | None) -> None:
    assert byte_range(header, SIZE) == answer


def test_an_empty_file_has_no_ranges() -> None:
    assert byte_range(None, 0) == (0, 0, False)
    assert byte_range("bytes=0-", 0) is None


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,20}-\d{0,20}", fullmatch=True), st.integers(0, 2**40))
def test_whatever_is_asked_lies_within_the_file(header: str, size: int) -> None:
    found = byte_range(header, size)
    if found is not None:
        start, end, partial = found
        assert 0 <= start <= end <= size
        assert partial or (start, end) == (0, size)
        assert not partial or start < end


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 2**40))
def test_a_range_is_what_a_slice_would_be(first: int, last: int, size: int) -> None:
    found = byte_range(f"bytes={first}-{last}", size)
    if first <= last and first < size:
        assert found == (first, min(last + 1, size), True)
    else:
        assert found is None

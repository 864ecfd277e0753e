import os

from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.errors import InvalidRequest
from podium.workspace.paths import MAX_PATH_BYTES, checked_segments


def test_empty_and_dot_segments_are_dropped() -> None:
    assert checked_segments("") == checked_segments("./.") == []
    assert checked_segments("a//b/./c/") == ["a", "b", "c"]


@given(st.text() | st.lists(st.sampled_from(["a", "..", ".", "", "\0", "\udcff", "\ud800"])).map("/".join))
def test_any_text_is_refused_or_harmless(path: str) -> None:
    try:
        segments = checked_segments(path)
    except InvalidRequest as error:
        error.detail.encode()
        return
    assert not {"", ".", ".."} & set(segments)
    assert all(
        0 < len(os.fsencode(segment)) <= MAX_PATH_BYTES and "/" not in segment and "\0" not in segment for segment in segments
    )

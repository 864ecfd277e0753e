import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.objectstore.keys import MAX_KEY_CHARS, InvalidKey, checked_key, checked_prefix

segments = st.from_regex(r"[A-Za-z0-9._:@=+-]{1,20}", fullmatch=True).filter(lambda segment: segment not in (".", ".."))


@given(st.lists(segments, min_size=1, max_size=5).map("/".join))
def test_keys_of_the_grammar_pass(key: str) -> None:
    assert checked_key(key) == key
    assert checked_prefix(key + "/") == key + "/"


@given(st.text(max_size=30))
def test_any_text_passes_or_is_refused(text: str) -> None:
    try:
        checked_key(text)
    except InvalidKey:
        return
    assert text.isascii() and not {"", ".", ".."} & set(text.split("/")) and "," not in text


def test_length_is_bounded() -> None:
    checked_key("/".join(["k"] * (MAX_KEY_CHARS // 2)))
    with pytest.raises(InvalidKey):
        checked_key("/".join(["k"] * (MAX_KEY_CHARS // 2 + 1)))

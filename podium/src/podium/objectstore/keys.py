"""The grammar of object keys, checked before a key reaches any store."""

import re

MAX_KEY_CHARS = 512
MAX_SEGMENT_CHARS = 240
"""Room for a suffix in a file name of 255 bytes."""

_SEGMENT = re.compile(rf"[A-Za-z0-9._:@=+-]{{1,{MAX_SEGMENT_CHARS}}}", re.ASCII)


class InvalidKey(ValueError):
    """The text is not an object key; a bug of the caller, who checks what users send."""


def checked_key(key: str) -> str:
    """Return `key` if it is an object key, else raise InvalidKey."""
    if len(key) > MAX_KEY_CHARS or not all(_is_segment(segment) for segment in key.split("/")):
        raise InvalidKey(f"{key[:80]!r} is not an object key")
    return key


def checked_prefix(prefix: str) -> str:
    """Return `prefix` if it names a folder of keys (ends in `/`), else raise InvalidKey."""
    if not prefix.endswith("/"):
        raise InvalidKey(f"{prefix[:80]!r} is not a folder of keys: it has to end in /")
    checked_key(prefix[:-1])
    return prefix


def _is_segment(segment: str) -> bool:
    return segment not in (".", "..") and _SEGMENT.fullmatch(segment) is not None

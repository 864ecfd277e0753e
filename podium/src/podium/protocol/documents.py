"""What a JSON document from outside may be, whatever it means: not too deep, and no number beyond 64 bits.

Both would be accepted here and fail later: where it is journaled, at a replay with a deeper stack, in another language.
"""

import re

import msgspec

from podium.protocol.delta import MAX_DEPTH, depth

MAX_DOCUMENT_DEPTH = MAX_DEPTH + 8
"""A state of MAX_DEPTH levels, inside a frame."""
_LONG_NUMBER = re.compile(rb"\d{19}")


def check_document(body: bytes) -> None:
    """ValueError saying what is wrong with a document that can be decoded. Nearly all need only a look at their bytes."""
    if body.count(b"[") + body.count(b"{") <= MAX_DOCUMENT_DEPTH and not _LONG_NUMBER.search(body):
        return
    value = msgspec.json.decode(body)
    if depth(value, MAX_DOCUMENT_DEPTH) > MAX_DOCUMENT_DEPTH:
        raise ValueError(f"it is more than {MAX_DOCUMENT_DEPTH} levels deep: flatten it")
    try:
        msgspec.msgpack.encode(value)
    except OverflowError:
        raise ValueError("it holds a whole number beyond 64 bits: send it as a string") from None

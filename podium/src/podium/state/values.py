"""How values are stored: times as microseconds, documents as JSON text."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()


def to_us(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_json(value: Any) -> str:
    """Compact JSON text."""
    return _encoder.encode(value).decode()


def from_json(text: str) -> Any:
    """The value of JSON text."""
    return _decoder.decode(text)


def digest(value: Any) -> bytes:
    """SHA-256 over the value's JSON with sorted keys: equal values have equal digests."""
    return hashlib.sha256(_sorted_encoder.encode(value)).digest()

"""Names and cursors of the contract (section 2): how they are made, checked and taken apart."""

import os
import re
import time
from typing import NamedTuple

from podium.protocol.errors import InvalidRequest

AGENT_TYPE = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
MESSAGE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
# The grammar of SemVer 2.0, section 9-11: https://semver.org
VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
MAX_VERSION_CHARS = 128
REFERENCE = re.compile(rf"{AGENT_TYPE.pattern}(?::{VERSION.pattern}(?:@[0-9a-f]{{8}})?)?", re.ASCII)
_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,18})", re.ASCII)
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class Cursor(NamedTuple):
    """A place in an instance's event line: the last event a reader has seen. `0.0` is before the first."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"


class DeploymentId(NamedTuple):
    """`{agent_type}:{version}@{digest}`, the digest being the first 8 hex digits of the bundle's SHA-256."""

    agent_type: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"{self.agent_type}:{self.version}@{self.digest}"


def new_id(prefix: str) -> str:
    """A time-ordered random name: prefix, 48 bits of milliseconds and 80 random bits, in Crockford's base 32."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    digits = [_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def schema_pattern(pattern: re.Pattern[str]) -> str:
    """A pattern for the whole of a string, as a JSON schema says it."""
    return f"^(?:{pattern.pattern})$".replace(r"\d", "[0-9]")


def checked(kind: str, pattern: re.Pattern[str], value: str) -> str:
    """Return `value` if the whole of it matches `pattern`, else raise InvalidRequest naming `kind`."""
    if not pattern.fullmatch(value):
        raise InvalidRequest(f"{kind} {value[:80]!r} does not match {pattern.pattern}")
    return value


def checked_version(value: str) -> str:
    """Return `value` if it is a SemVer 2.0 version, else raise InvalidRequest."""
    if len(value) > MAX_VERSION_CHARS or not VERSION.fullmatch(value):
        raise InvalidRequest(f"version {value[:80]!r} is not a SemVer 2.0 version such as 1.0.0")
    return value


def parse_cursor(text: str) -> Cursor:
    """Read `epoch.seq`; raise InvalidRequest for anything else."""
    match = _CURSOR.fullmatch(text)
    if not match:
        raise InvalidRequest(f"cursor {text[:40]!r} is not of the form epoch.seq, such as 1.42")
    return Cursor(int(match[1]), int(match[2]))

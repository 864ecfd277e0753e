"""What a setting can be: ports, durations, sizes, names, URLs and secrets, read from text."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MAX_DURATION_S = 10 * 366 * 86400.0
MAX_COUNT = 10_000_000
MAX_SIZE_BYTES = 1 << 50

_DURATION = re.compile(
    r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,9})ms)?", re.ASCII
)
_DURATION_UNITS_S = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_SIZE = re.compile(r"(\d{1,15})(?:([KMGT])(i?)B|B)?", re.ASCII)
_POWERS = {None: 0, "K": 1, "M": 2, "G": 3, "T": 4}
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_ADMIN_KEY = re.compile(r"pod_admin_[!-~]{16,240}", re.ASCII)
_VALKEY_SCHEMES = ("valkey", "valkeys", "redis", "rediss", "unix")


class Kind(NamedTuple):
    """A kind of value: said for people, and read from text (ValueError where it is something else)."""

    expected: str
    read: Callable[[str], Any]


def duration_s(text: str) -> float:
    """Seconds of a duration such as 30s, 5m, 1h30m or 250ms; ValueError for anything else and for nought."""
    match = _DURATION.fullmatch(text)
    seconds = sum(float(n) * unit for n, unit in zip(match.groups(), _DURATION_UNITS_S, strict=True) if n) if match else 0.0
    if not 0 < seconds <= MAX_DURATION_S:
        raise ValueError(f"{text!r} is not a duration such as 30s, 5m or 1h30m")
    return seconds


def duration_or_never_s(text: str) -> float | None:
    """As `duration_s`; None for `never`."""
    return None if text == "never" else duration_s(text)


def size_bytes(text: str) -> int:
    """Bytes of a size such as 512MiB, 64KiB, 10MB or 1048576; ValueError for anything else and for nought."""
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2]] if match else 0
    if not 0 < size <= MAX_SIZE_BYTES:
        raise ValueError(f"{text!r} is not a size such as 512MiB")
    return size


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _COUNT.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return read


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return read


def _http_url(text: str) -> str:
    url = urlsplit(text)
    beyond_host = (url.username, url.path.strip("/"), url.query, url.fragment)
    if url.scheme not in ("http", "https") or not url.hostname or any(beyond_host) or url.port == 0:
        raise ValueError
    return f"{url.scheme}://{url.netloc}"


def _base_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query or url.fragment or url.port == 0:
        raise ValueError
    return text.rstrip("/")


def _valkey_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in _VALKEY_SCHEMES or not (url.path if url.scheme == "unix" else url.hostname):
        raise ValueError
    return text


def _secret_text(text: str) -> str:
    if len(text.encode()) < 16:
        raise ValueError
    return text


def _absolute(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError from None


def one_of(*choices: str) -> Kind:
    """One of these words."""
    return Kind(" or ".join([", ".join(choices[:-1]), choices[-1]]), _matching(re.compile("|".join(choices))))


PORT = Kind("a port from 1 to 65535", _integer(1, 65535))
COUNT = Kind(f"a whole number from 1 to {MAX_COUNT}", _integer(1, MAX_COUNT))
HOST = Kind("a host name or address", _matching(_HOST))
NAME = Kind("1 to 63 letters, digits and . _ -, a letter or digit first", _matching(_NAME))
PATH = Kind("a path", _absolute)
DURATION = Kind("a duration such as 30s, 5m or 1h30m", duration_s)
SIZE = Kind("a size such as 512MiB", size_bytes)
HTTP_URL = Kind("a URL such as http://10.0.0.5:9090, without a path", _http_url)
BASE_URL = Kind("a URL such as https://models.example.com/v1", _base_url)
VALKEY_URL = Kind("a URL such as valkey://host:6379; valkeys, redis, rediss and unix are known too", _valkey_url)
ADMIN_KEY = Kind("pod_admin_ and at least 16 more characters, no spaces", _matching(_ADMIN_KEY))
TOKEN = Kind("1 to 1024 visible characters, no spaces", _matching(re.compile(r"[!-~]{1,1024}")))
SECRET = Kind("at least 16 bytes of UTF-8", _secret_text)

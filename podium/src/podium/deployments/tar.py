"""Reading a tar stream: ustar, pax and GNU's long names, as the packers of this world write them.

The standard library's reader is not used: on hostile input it believes any size of a pax header and, in the releases we run on,
loops on a negative one; and it has no filters before 3.11.4. Formats: POSIX.1-2017 pax, and "Basic Tar Format" of GNU tar.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

from podium.protocol.errors import InvalidBundle

BLOCK_BYTES = 512
MAX_EXTENSION_BYTES = 64 * 1024
MAX_EXTENSIONS = 8
"""How many headers may prepare one member."""

Kind = Literal["file", "directory", "symlink", "hardlink"]
_KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"7": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}
_REFUSED = {
    b"3": "a character device", b"4": "a block device", b"6": "a FIFO", b"S": "a sparse file", b"M": "a part of a split file",
}  # fmt: skip
_OCTAL = re.compile(rb"[0-7]{0,12}")
_DECIMAL = re.compile(rb"[0-9]{1,18}")
_PAX_RECORD = re.compile(rb"([0-9]{1,6}) ([^=\n]{1,255})=")


class Member(NamedTuple):
    """A member as its headers name it; nothing is checked yet. `link` is where a link points."""

    name: str
    kind: Kind
    size_bytes: int
    executable: bool
    link: str


class Source(Protocol):
    """Where the stream comes from."""

    def read(self, size: int) -> bytes:
        """1 to `size` bytes, none at the end."""


class TarReader:
    """Members of a tar stream, one after the other. InvalidBundle where it is none, or holds what no bundle needs."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unread_bytes = 0
        self._padding_bytes = 0

    def __iter__(self) -> Iterator[Member]:
        while (member := self._next()) is not None:
            yield member

    def content(self) -> Iterator[bytes]:
        """What is left of the content of the member just returned."""
        while self._unread_bytes:
            data = self._source.read(min(self._unread_bytes, 1 << 16))
            if not data:
                raise _truncated()
            self._unread_bytes -= len(data)
            yield data

    def _next(self) -> Member | None:
        overrides: dict[str, bytes] = {}
        for _ in range(MAX_EXTENSIONS + 1):
            self._skip()
            header = self._exactly(BLOCK_BYTES)
            if not header.strip(b"\0"):
                self._check_end(overrides)
                return None
            kind = _checked_type(header)
            if kind in b"xgLK":
                overrides |= self._extension(kind, header)
            else:
                return self._member(header, kind, overrides)
        raise InvalidBundle(f"more than {MAX_EXTENSIONS} extended headers prepare one member: pack the bundle again")

    def _member(self, header: bytes, type_flag: bytes, overrides: dict[str, bytes]) -> Member:
        name = _text(overrides.get("path", _name(header)))
        size_bytes = _decimal(overrides["size"]) if "size" in overrides else _number(header[124:136], "size")
        kind = _KINDS.get(type_flag)
        if kind is None:
            what = _REFUSED.get(type_flag, f"of the unknown type {type_flag!r}")
            raise InvalidBundle(f"{shown(name)} is {what}: a bundle holds files, directories and links inside of it")
        if type_flag == b"\0" and name.endswith("/"):
            kind = "directory"
        if kind != "file" and size_bytes:
            raise InvalidBundle(f"{shown(name)} is a {kind}, but its header announces content: pack the bundle again")
        self._unread_bytes = size_bytes
        self._padding_bytes = -size_bytes % BLOCK_BYTES
        link = _text(overrides.get("linkpath", _string(header[157:257])))
        return Member(name, kind, size_bytes, bool(_number(header[100:108], "mode") & 0o100), link)

    def _extension(self, kind: bytes, header: bytes) -> dict[str, bytes]:
        size = _number(header[124:136], "size")
        if size > MAX_EXTENSION_BYTES:
            raise InvalidBundle(f"an extended header has {size} bytes; {MAX_EXTENSION_BYTES} are allowed: pack the bundle again")
        body = self._exactly(size)
        self._padding_bytes = -size % BLOCK_BYTES
        if kind in b"LK":
            return {"path" if kind == b"L" else "linkpath": body.rstrip(b"\0")}
        return _pax(body, of_one_member=kind == b"x")

    def _skip(self) -> None:
        for _ in self.content():
            pass
        self._exactly(self._padding_bytes)
        self._padding_bytes = 0

    def _check_end(self, overrides: dict[str, bytes]) -> None:
        if overrides:
            raise _truncated()
        while data := self._source.read(1 << 16):
            if data.strip(b"\0"):
                raise InvalidBundle("there is something behind the end of the bundle's archive: pack it again")

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._source.read(size)
            if not part:
                raise _truncated()
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def shown(name: str) -> str:
    """A hostile name for a message: quoted, without control characters, and short."""
    return ascii(name) if len(name) <= 100 else ascii(name[:100]) + "…"


def _checked_type(header: bytes) -> bytes:
    """The type of a header whose checksum is right."""
    if _number(header[148:156], "checksum") != sum(header) - sum(header[148:156]) + 8 * 32:
        raise InvalidBundle("the bundle is not a tar archive, or it is damaged (wrong checksum): pack it again")
    return header[156:157]


def _name(header: bytes) -> bytes:
    name, prefix = _string(header[0:100]), _string(header[345:500])
    return prefix + b"/" + name if header[257:263] == b"ustar\0" and prefix else name


def _string(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InvalidBundle(f"the name {ascii(name[:100])[1:]} is not UTF-8: rename it") from None


def _number(field: bytes, what: str) -> int:
    """A number of a header: octal, or with the first bit set in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not _OCTAL.fullmatch(digits):
        raise InvalidBundle(f"the bundle is not a tar archive, or it is damaged (bad {what} {ascii(field)[1:]}): pack it again")
    return int(digits or b"0", 8)


def _decimal(value: bytes) -> int:
    if not _DECIMAL.fullmatch(value):
        raise InvalidBundle("the size in a pax header is not a number: pack the bundle again")
    return int(value)


def _pax(body: bytes, *, of_one_member: bool) -> dict[str, bytes]:
    """The records that change a member. Others (times, owners, comments) mean nothing here."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(body):
        match = _PAX_RECORD.match(body, at)
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(body) or body[end - 1 : end] != b"\n":
            raise InvalidBundle("a pax header of the bundle is damaged: pack it again")
        key = match[2].decode(errors="replace")
        if key.startswith("GNU.sparse"):
            raise InvalidBundle("the bundle holds a sparse file: pack it without --sparse")
        if key in ("path", "linkpath", "size"):
            found[key] = body[match.end() : end - 1]
        at = end
    if found and not of_one_member:
        raise InvalidBundle("a global pax header names or sizes all members at once: pack the bundle again")
    return found


def _truncated() -> InvalidBundle:
    return InvalidBundle("the bundle is truncated: its archive does not end. Pack and upload it again")

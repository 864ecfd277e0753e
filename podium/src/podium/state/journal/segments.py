"""The journal on disk: segment files of one size, written in full before their first use and used again and again.

    header, one block:  "PODJ" | format u32 | first u64 | needed u64 | salt u32 | crc32 u32
    then records:       length u32 | crc32 u32 | number u64 | key length u8 | key | body

All little-endian; a record's crc covers everything behind it and begins with the salt, which is random for each use of a segment.
Numbers grow strictly. A segment's records end at the first that is not whole: what stands behind that is of an earlier use, or
was written when the power went. `first` is the last number before the segment; what lies in segments below `needed` was in the
instances' own files when this segment was begun. A segment is wiped, durably, before it is used again, so that what is written
over its records is never read under the header of its earlier use.

Overwriting blocks that were written before changes no metadata of the file system, so that an fdatasync is one write to the disk.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from podium.protocol.errors import NewerFormat

FORMAT = 1
SEGMENT_BYTES = 32 * 1024 * 1024
BLOCK_BYTES = 4096
_MAGIC = b"PODJ"
_HEADER = struct.Struct("<4sIQQI")
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<II")
_NUMBERED = struct.Struct("<QB")
_OVERHEAD = _RECORD.size + _NUMBERED.size


class Record(NamedTuple):
    """One change: which file's (`key`), and what (`body`)."""

    number: int
    key: bytes
    body: bytes


class Header(NamedTuple):
    """What a segment says of itself."""

    first: int
    needed: int
    salt: int = 0


def encode(record: Record) -> bytes:
    """A record's bytes, but for what depends on the segment: `seal` them."""
    return _NUMBERED.pack(record.number, len(record.key)) + record.key + record.body


def sealed_bytes(encoded: bytes) -> int:
    """How many bytes a record takes in a segment."""
    return _RECORD.size + len(encoded)


def seal(encoded: Sequence[bytes], salt: int) -> bytes:
    """Records as they stand in a segment with that salt."""
    return b"".join([part for tail in encoded for part in (_RECORD.pack(len(tail), zlib.crc32(tail, salt)), tail)])


def encode_header(header: Header) -> bytes:
    """A header's block."""
    packed = _HEADER.pack(_MAGIC, FORMAT, *header)
    return (packed + _CRC.pack(zlib.crc32(packed))).ljust(BLOCK_BYTES, b"\0")


def read_header(path: Path) -> Header | None:
    """What a segment says of itself, None where it was never begun or its header is torn. NewerFormat."""
    with path.open("rb") as file:
        block = file.read(_HEADER.size + _CRC.size)
    if len(block) < _HEADER.size + _CRC.size or _CRC.unpack_from(block, _HEADER.size)[0] != zlib.crc32(block[: _HEADER.size]):
        return None
    magic, version, *fields = _HEADER.unpack_from(block)
    if magic != _MAGIC:
        return None
    if version > FORMAT:
        raise NewerFormat(f"the journal has format {version}; this release reads up to {FORMAT}: upgrade it")
    return Header(*fields)


def read_records(path: Path, header: Header) -> Iterator[Record]:
    """The whole records of a segment with that header, in order."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        last, offset = header.first, BLOCK_BYTES
        while (record := _read_record(data, offset, header.salt)) is not None and record.number > last:
            yield record
            last = record.number
            offset += _OVERHEAD + len(record.key) + len(record.body)


def _read_record(data: mmap.mmap, offset: int, salt: int) -> Record | None:
    if offset + _OVERHEAD > len(data):
        return None
    length, crc = _RECORD.unpack_from(data, offset)
    begin = offset + _RECORD.size
    if length < _NUMBERED.size or begin + length > len(data):
        return None
    tail = data[begin : begin + length]
    if zlib.crc32(tail, salt) != crc:
        return None
    number, key_length = _NUMBERED.unpack_from(tail)
    key_end = _NUMBERED.size + key_length
    return Record(number, tail[_NUMBERED.size : key_end], tail[key_end:])


def make(path: Path, size_bytes: int) -> None:
    """Write a new segment in full and make it durable. Blocks; OSError, and then nothing is left."""
    unfinished = path.with_suffix(".new")
    try:
        with unfinished.open("wb") as file:
            for _ in range(0, size_bytes, BLOCK_BYTES):
                file.write(bytes(BLOCK_BYTES))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        sync_directory(path.parent)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def wipe(path: Path) -> None:
    """Make a segment one that was never begun, durably. Blocks; OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, bytes(BLOCK_BYTES), 0)
        os.fdatasync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make a file's content durable. Blocks."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(folder: Path) -> None:
    """Make names in `folder` durable. Blocks."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

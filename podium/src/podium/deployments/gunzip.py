"""Decompression in bounded memory that stops at a bomb, a truncated stream, or anything behind its end."""

import hashlib
import zlib
from typing import BinaryIO

from podium.deployments.limits import BundleLimits
from podium.protocol.errors import InvalidBundle, TooLarge

CHUNK_BYTES = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class Gunzip:
    """The bytes inside a gzip file with one stream. Hashes the compressed bytes on the way."""

    def __init__(self, file: BinaryIO, limits: BundleLimits) -> None:
        self._file = file
        self._limits = limits
        self._decompressor = zlib.decompressobj(_GZIP)
        self._hash = hashlib.sha256()
        self.compressed_bytes = 0
        self._unpacked_bytes = 0

    def read(self, size: int) -> bytes:
        """1 to `size` bytes, none at the end. InvalidBundle for a damaged stream, TooLarge for a bomb."""
        while not self._decompressor.eof:
            packed = self._decompressor.unconsumed_tail or self._next()
            try:
                data = self._decompressor.decompress(packed, size)
            except zlib.error as error:
                raise InvalidBundle(f"the bundle is not a gzip file, or it is damaged ({error}): pack it again") from None
            if data:
                self._account(len(data))
                return data
            if not packed and not self._decompressor.eof:
                raise InvalidBundle("the bundle is truncated: its gzip stream does not end. Upload it again")
        self._check_end()
        return b""

    def sha256(self) -> str:
        """The hash of the whole file; call it after the end was reached."""
        return self._hash.hexdigest()

    def _next(self) -> bytes:
        packed = self._file.read(CHUNK_BYTES)
        self._hash.update(packed)
        self.compressed_bytes += len(packed)
        if self.compressed_bytes > self._limits.compressed_bytes:
            raise too_large("the bundle is larger", self._limits.compressed_bytes)
        return packed

    def _account(self, size: int) -> None:
        limits = self._limits
        self._unpacked_bytes += size
        if self._unpacked_bytes > limits.stream_bytes:
            raise too_large("the bundle unpacks to more", limits.unpacked_bytes)
        consumed = self.compressed_bytes - len(self._decompressor.unconsumed_tail)
        if self._unpacked_bytes > max(limits.ratio_from_bytes, limits.ratio * consumed):
            raise TooLarge(
                f"the bundle unpacks to more than {limits.ratio} times its size, as decompression bombs do: "
                "leave out the file that is nearly empty of content",
                limit=limits.ratio,
            )

    def _check_end(self) -> None:
        if self._decompressor.unused_data or self._next():
            raise InvalidBundle("there is something behind the end of the bundle's gzip stream: pack it again")


def too_large(what: str, limit_bytes: int) -> TooLarge:
    """The refusal of something that is over a limit in bytes."""
    return TooLarge(f"{what} than {limit_bytes} bytes: leave out what the agent does not need", limit=limit_bytes)

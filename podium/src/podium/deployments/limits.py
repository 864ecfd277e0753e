"""Bounds on what a bundle may be. A bundle is hostile input: each of them is kept while reading, not believed from a header."""

import msgspec

MIB = 1024 * 1024


class BundleLimits(msgspec.Struct, kw_only=True, frozen=True):
    """`members` counts directories that are only implied too; `ratio` holds once more than `ratio_from_bytes` came out."""

    compressed_bytes: int = 64 * MIB
    unpacked_bytes: int = 512 * MIB
    file_bytes: int = 256 * MIB
    members: int = 20_000
    ratio: int = 200
    ratio_from_bytes: int = MIB

    @property
    def stream_bytes(self) -> int:
        """The longest tar stream that can hold what is allowed: contents, padding, and headers with long names."""
        return self.unpacked_bytes + self.members * 4096 + MIB

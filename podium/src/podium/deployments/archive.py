"""A bundle's archive, read once from front to end with every check on the way."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from podium.deployments.contents import Contents
from podium.deployments.gunzip import Gunzip
from podium.deployments.limits import BundleLimits
from podium.deployments.tar import Member, TarReader


class Entry(NamedTuple):
    """One member below the root; `content` yields the bytes of a file and has to be used before the next entry."""

    path: str
    member: Member
    content: Iterator[bytes]


class Archive:
    """The entries of an open bundle. What is known only at the end is complete once all of them were read."""

    def __init__(self, file: BinaryIO, limits: BundleLimits) -> None:
        self._gunzip = Gunzip(file, limits)
        self.contents = Contents(limits)

    def __iter__(self) -> Iterator[Entry]:
        tar = TarReader(self._gunzip)
        for member in tar:
            if path := self.contents.admit(member):
                yield Entry(path, member, tar.content())
        self.contents.finish()

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return self._gunzip.compressed_bytes

    @property
    def sha256(self) -> str:
        """The hash of the file, in hex."""
        return self._gunzip.sha256()

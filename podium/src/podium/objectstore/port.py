"""What Podium asks of an object store.

Keys are `/`-separated segments of `[A-Za-z0-9._:@=+-]`, none of them `.` or `..`, at most 240 characters each and 512 in all;
`keys.py` checks them. A key may be the beginning of another: `a` and `a/b` are two objects.
A put is atomic: readers see the old object or the new one, whole; once it has returned it survives a power cut.
After a time-out or a cancellation the outcome of a put is unknown: it may still happen. Records carry a random `write_id` so
that the writer can read and compare; it also makes etags differ, which may be hashes of the content alone.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, Protocol


class Object(NamedTuple):
    """An object's bytes and the tag that names this very content."""

    body: bytes
    etag: str


class AlreadyExists(Exception):
    """A create-only put found an object under its key."""


class Conflict(Exception):
    """A compare-and-swap put found another etag, or no object at all."""


class ObjectStore(Protocol):
    """Objects by key. Every method raises OSError where the store cannot be reached or is full, InvalidKey for a bad key."""

    async def get(self, key: str) -> Object | None:
        """The whole object, or None where there is none."""

    async def put(self, key: str, body: bytes) -> str:
        """Write unconditionally; return the new etag."""

    async def create(self, key: str, body: bytes) -> str:
        """Write only if there is no such object, else AlreadyExists; return the etag."""

    async def replace(self, key: str, body: bytes, etag: str) -> str:
        """Write only if the object still has `etag`, else Conflict; return the new etag."""

    async def create_from_file(self, key: str, source: Path) -> str:
        """As `create`, with the bytes of a local file, for bodies too large for memory."""

    async def fetch_to_file(self, key: str, target: Path) -> bool:
        """Write the object's bytes to a new local file, mode 0600; False where there is no object.

        FileExistsError where `target` exists. A failure leaves no file; a crash may leave a part of one.
        """

    async def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[str]:
        """All keys below the folder `prefix` (ends in `/`) that sort after the key `after`, in order of their bytes.

        Keys that come or go meanwhile may be missing or there; all others are listed once.
        """

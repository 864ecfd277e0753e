"""What a coordinator asks of a workspace: mount, commit, restore, and reading files without trusting the agent.

Nothing of ours follows a link or opens a special file inside a workspace: an agent writes it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol


class Entry(NamedTuple):
    """One name in a listing. `kind` is file, directory, symlink or other; `path` is relative to the workspace's root."""

    path: str
    kind: str
    size_bytes: int
    modified_ns: int


class OpenFile(NamedTuple):
    """A regular file opened for reading, its size at that time, and an entity tag that changes with its content."""

    file: BinaryIO
    size_bytes: int
    etag: str


class Placed(NamedTuple):
    """A file that was put: its entity tag, and whether there was none before."""

    etag: str
    created: bool


class Workspace(Protocol):
    """The workspace of one instance. All methods are synchronous and may block on the disk."""

    @property
    def versioned(self) -> bool:
        """Whether `commit` returns versions and `restore` puts files back."""

    def mount(self) -> Path:
        """Make the files available, owned by the agent; return the directory. Idempotent."""

    def unmount(self) -> None:
        """Take them away again; idempotent. What was written stays."""

    def commit(self) -> int | None:
        """Make what the agent has written durable; return its version, or None where there are no versions."""

    def restore(self, version: int | None) -> None:
        """Put the files back to `version` before anything runs; nothing happens where there are no versions."""

    def list(self, path: str, depth: int) -> Iterator[Entry]:
        """Entries below `path` ("" is the root) down to `depth` levels, parents first, by the bytes of their names.

        NotFound where there is no such directory, TooLarge above the limit of entries, InvalidRequest for paths that are
        absolute or contain `..`. Bytes of a name that are not UTF-8 are surrogate escapes.
        """

    def open(self, path: str) -> OpenFile:
        """Open a regular file; NotFound where there is none, NotAFile for anything else; links are never followed.

        Conflict where it cannot be read now. The agent may change the file meanwhile: less than `size_bytes` may come.
        """

    def put(self, path: str, source: Path, token: str) -> Placed:
        """Put a copy of a file of ours at `path`, as a new file of the agent's, whole and durable; folders are made.

        `token` names this very put: it may be repeated after a crash. InvalidRequest for what is no path of a file, NotAFile
        where something else is there, Conflict where the agent's permissions forbid it. No turn may be running.
        """

    def remove(self, path: str) -> bool:
        """Remove a file, durably; whether there was one. Fails as `put` does."""

    def delete(self) -> None:
        """Remove everything for ever; idempotent. No process of the agent may be left."""

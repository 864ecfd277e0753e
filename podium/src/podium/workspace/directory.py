"""A workspace that is a plain directory: no versions, so nothing is put back after a failed attempt."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from podium.protocol.errors import Conflict, InvalidRequest, NotAFile, NotFound, TooLarge
from podium.workspace.beneath import locate
from podium.workspace.listing import MAX_DEPTH, MAX_ENTRIES, entries_below, kind_of
from podium.workspace.paths import checked_file, checked_segments
from podium.workspace.placing import put_file, remove_file
from podium.workspace.port import Entry, OpenFile, Placed
from podium.workspace.removal import remove_tree

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
UNREADABLE = (errno.EACCES, errno.EPERM)


class DirectoryWorkspace:
    """Files at `root`, owned by `uid` and the group of that number, or by ourselves where `uid` is None.

    Parents of `root` that are missing are made 0711: the agent passes through and sees nothing. With a `uid` only its files
    are opened: a kernel without protected_hardlinks lets an agent hard-link a file it cannot read into its workspace.
    """

    versioned = False

    def __init__(self, root: Path, uid: int | None) -> None:
        self._root = root
        self._uid = uid

    def mount(self) -> Path:
        _make_passable(self._root.parent)
        self._root.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            Path(f"/proc/self/fd/{fd}").chmod(0o700)
            if self._uid is not None:
                os.chown(f"/proc/self/fd/{fd}", self._uid, self._uid)
        finally:
            os.close(fd)
        return self._root

    def unmount(self) -> None:
        """Nothing to do: a plain directory stays where it is."""

    def commit(self) -> int | None:
        return None

    def restore(self, version: int | None) -> None:
        """Nothing to do: there are no versions."""

    def list(self, path: str, depth: int) -> Iterator[Entry]:
        if not 1 <= depth <= MAX_DEPTH:
            raise InvalidRequest(f"depth is {depth}; it has to be 1 to {MAX_DEPTH}.")
        segments = checked_segments(path)
        with self._located(segments, path) as located:
            if not stat.S_ISDIR(os.fstat(located).st_mode):
                raise NotFound(f"{path!r} is no directory of the workspace; links are not followed.")
            fd = _reopened(located, os.O_RDONLY | os.O_DIRECTORY, path)
        try:
            with closing(entries_below(fd, "".join(f"{segment}/" for segment in segments), depth, MAX_ENTRIES)) as entries:
                found = [*islice(entries, MAX_ENTRIES + 1)]
        finally:
            os.close(fd)
        if len(found) > MAX_ENTRIES:
            raise TooLarge(f"More than {MAX_ENTRIES} entries; list a folder below, or less depth.", limit=MAX_ENTRIES)
        return iter(found)

    def open(self, path: str) -> OpenFile:
        with self._located(checked_segments(path), path) as located:
            self._check_regular(os.fstat(located), path)
            file = os.fdopen(_reopened(located, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, path), "rb")
        status = os.fstat(file.fileno())
        return OpenFile(file, status.st_size, _etag(status))

    def put(self, path: str, source: Path, token: str) -> Placed:
        segments = checked_file(path)
        self.mount()
        with _explained(path), self._rooted() as root_fd:
            status, created = put_file(root_fd, segments, source, token, self._uid)
        return Placed(_etag(status), created)

    def remove(self, path: str) -> bool:
        segments = checked_file(path)
        self.mount()
        with _explained(path), self._rooted() as root_fd:
            return remove_file(root_fd, segments)

    def delete(self) -> None:
        remove_tree(self._root)

    def _check_regular(self, status: os.stat_result, path: str) -> None:
        kind = kind_of(status.st_mode)
        if kind != "file":
            raise NotAFile(f"{path!r} is not a regular file but: {kind}.")
        if self._uid is not None and status.st_uid != self._uid:
            raise NotAFile(f"{path!r} does not belong to the agent, so it is not handed out.")

    @contextmanager
    def _rooted(self) -> Iterator[int]:
        fd = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _located(self, segments: Sequence[str], path: str) -> Iterator[int]:
        with _explained(path), self._rooted() as root_fd:
            located = locate(root_fd, segments)
        try:
            yield located
        finally:
            os.close(located)


def _reopened(located: int, flags: int, path: str) -> int:
    """A descriptor to read what an O_PATH descriptor has located and fstat has found harmless."""
    with _explained(path):
        return os.open(f"/proc/self/fd/{located}", flags)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise Conflict(f"The agent holds a lease on {path!r}; try again.") from None
    except OSError as error:
        if error.errno in ABSENT:
            raise NotFound(f"The workspace has no {path!r}; links are not followed.") from None
        if error.errno in UNREADABLE:
            raise Conflict(f"{path!r} cannot be read: the agent's permissions on it or on a folder above forbid it.") from None
        raise


def _make_passable(folder: Path) -> None:
    if not folder.exists():
        _make_passable(folder.parent)
        folder.mkdir(mode=0o711, exist_ok=True)
        folder.chmod(0o711)  # whatever the umask


def _etag(status: os.stat_result) -> str:
    """Changes with the content as far as the clock of the file system tells two writes apart."""
    identity = f"{status.st_ino}.{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}"
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()

"""Putting and removing a file beneath a directory that somebody hostile writes to, from outside.

A file is written under a name of its own beside its place and renamed: readers see the old one or the new one, whole, and who
holds the old one open keeps it. No link is followed; whatever is made belongs to the agent. All is synced before it counts.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from podium.protocol.errors import NotAFile
from podium.workspace.beneath import locate
from podium.workspace.listing import kind_of
from podium.workspace.paths import DRAFT_PREFIX

FILE_MODE = 0o644
FOLDER_MODE = 0o755


def put_file(root_fd: int, segments: Sequence[str], source: Path, token: str, uid: int | None) -> tuple[os.stat_result, bool]:
    """Put a copy of `source` at `segments`; its status, and whether there was no file before.

    `token` names this very put: after a crash it may be repeated. NotAFile where something else is there, OSError.
    """
    with _folder(root_fd, segments[:-1], uid, make=True) as folder:
        before = _look(folder, segments[-1], "/".join(segments))
        draft = DRAFT_PREFIX + token
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        mode = FILE_MODE if before is None else stat.S_IMODE(before.st_mode) & 0o777
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with os.fdopen(fd, "wb") as target:
            try:
                _fill(target.fileno(), source, mode, uid)
                os.rename(draft, segments[-1], src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise
            _sync_folder(folder)
            return os.fstat(target.fileno()), before is None


def remove_file(root_fd: int, segments: Sequence[str]) -> bool:
    """Remove what is at `segments`; whether there was a file. NotAFile where something else is there, OSError."""
    try:
        with _folder(root_fd, segments[:-1], None, make=False) as folder:
            if _look(folder, segments[-1], "/".join(segments)) is None:
                return False
            os.unlink(segments[-1], dir_fd=folder)
            _sync_folder(folder)
            return True
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def _folder(root_fd: int, segments: Sequence[str], uid: int | None, *, make: bool) -> Iterator[int]:
    """An O_PATH descriptor of a folder below the root."""
    if make:
        for depth in range(1, len(segments) + 1):
            _make_folder(root_fd, segments[:depth], uid)
    fd = locate(root_fd, segments)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise NotAFile(f"{'/'.join(segments)!r} is not a folder; links are not followed.")
        yield fd
    finally:
        os.close(fd)


def _make_folder(root_fd: int, segments: Sequence[str], uid: int | None) -> None:
    """Make a folder where it is missing; one of ours is from a put that a crash has cut short."""
    above = locate(root_fd, segments[:-1])
    try:
        with suppress(FileExistsError):
            os.mkdir(segments[-1], FOLDER_MODE, dir_fd=above)
    except NotADirectoryError:
        raise NotAFile(f"{'/'.join(segments[:-1])!r} is not a folder; links are not followed.") from None
    finally:
        os.close(above)
    made = locate(root_fd, segments)
    try:
        if uid is not None and os.fstat(made).st_uid == os.getuid():
            os.chown(f"/proc/self/fd/{made}", uid, uid)
    finally:
        os.close(made)


def _look(folder: int, name: str, path: str) -> os.stat_result | None:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise NotAFile(f"{path!r} is not a regular file but: {kind_of(status.st_mode)}.")
    return status


def _fill(fd: int, source: Path, mode: int, uid: int | None) -> None:
    with source.open("rb") as content, os.fdopen(os.dup(fd), "wb") as target:
        shutil.copyfileobj(content, target, 1024 * 1024)
    if uid is not None:
        os.fchown(fd, uid, uid)
    os.fchmod(fd, mode)
    os.fsync(fd)


def _sync_folder(folder: int) -> None:
    fd = os.open(f"/proc/self/fd/{folder}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

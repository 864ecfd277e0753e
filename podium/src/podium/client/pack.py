"""Makes a bundle of a directory. The same tree gives the same bytes: names sorted, times, owners and modes fixed."""

import fnmatch
import gzip
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from podium.client.manifest import NAME, Manifest, parse_manifest
from podium.protocol.errors import InvalidBundle

LEFT_OUT = (
    ".git", "__pycache__", "*.pyc", ".venv", "node_modules", "*.dist-info", ".mypy_cache", ".pytest_cache", ".ruff_cache",
)  # fmt: skip
"""Names that no bundle needs, at any depth. They are made again where the agent runs, or are of no use there."""


class Packed(NamedTuple):
    """What was packed: the names it is deployed under, its files, the paths left out, and the bundle's size."""

    manifest: Manifest
    files: int
    left_out: list[str]
    size_bytes: int


def pack(root: Path, out: Path) -> Packed:
    """Write the bundle of `root` to `out`. Raises InvalidBundle for what cannot be packed, OSError where a file fails."""
    if not root.is_dir():
        raise InvalidBundle(f"{root} is not a directory; name the one that holds {NAME}")
    manifest = _manifest(root)
    left_out: list[str] = []
    names = sorted(_names(root, "", left_out), key=os.fsencode)
    real_root = root.resolve()
    files = 0
    with out.open("wb") as raw:
        # No name and no time in the header: they would differ from run to run.
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped,
            tarfile.TarFile(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT, errors="strict") as archive,
        ):
            for name in names:
                files += _add(archive, root, real_root, name)
        size_bytes = raw.tell()
    return Packed(manifest, files, sorted(left_out), size_bytes)


def _manifest(root: Path) -> Manifest:
    path = root / NAME
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise InvalidBundle(f"{path} must be a regular file")
    except FileNotFoundError:
        raise InvalidBundle(f"{root} has no {NAME}; a bundle needs one at its root, with an [agent] table") from None
    return parse_manifest(path.read_bytes())


def _names(root: Path, below: str, left_out: list[str]) -> Iterator[str]:
    """The paths to pack, directories that hold something before their content."""
    with os.scandir(root / below) as entries:
        listed = list(entries)
    for entry in listed:
        name = f"{below}{entry.name}"
        if any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in LEFT_OUT):
            left_out.append(name)
        elif entry.is_dir(follow_symlinks=False):
            inner = list(_names(root, f"{name}/", left_out))
            yield from [name, *inner] if inner else []
        else:
            yield name


def _add(archive: tarfile.TarFile, root: Path, real_root: Path, name: str) -> int:
    """Add one path; 1 for a file or link, 0 for a directory."""
    path = root / name
    info = tarfile.TarInfo(_utf8(name))
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(info)
        return 0
    if stat.S_ISLNK(mode):
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, _target(path, real_root, name)
        archive.addfile(info)
    elif stat.S_ISREG(mode):
        _add_file(archive, path, info)
    else:
        raise InvalidBundle(f"{name} is neither file, directory nor link; a bundle cannot hold sockets, pipes and devices")
    return 1


def _add_file(archive: tarfile.TarFile, path: Path, info: tarfile.TarInfo) -> None:
    with _opened(path) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise InvalidBundle(f"{info.name} changed while it was packed; deploy again")
        info.size = status.st_size
        info.mode = 0o755 if status.st_mode & 0o100 else 0o644
        try:
            archive.addfile(info, file)
        except OSError as error:
            if file.tell() < info.size and error.errno is None:
                raise InvalidBundle(f"{info.name} became shorter while it was packed; deploy again") from error
            raise


def _opened(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _target(path: Path, real_root: Path, name: str) -> str:
    """Where a link points, if that lies inside the bundle however it is unpacked."""
    target = os.readlink(path)  # noqa: PTH115 - pathlib would rewrite it
    lexical = os.path.normpath(os.path.join(os.path.dirname(name), target))  # noqa: PTH118, PTH120 - about names, not about files
    leaves = os.path.isabs(target) or lexical == ".." or lexical.startswith("../")  # noqa: PTH117
    if leaves or not _resolved(path, name).is_relative_to(real_root):
        raise InvalidBundle(f"the link {name} points to {target}, outside the bundle; replace it by what it points to")
    return _utf8(target)


def _resolved(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except RuntimeError:
        raise InvalidBundle(f"the link {name} leads in a circle; remove it") from None


def _utf8(name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidBundle(f"the name {os.fsencode(name)!r} is not UTF-8; rename it") from None
    return name

"""What a bundle may contain, decided member by member without touching a disk.

Every path lies below the root and names one thing only; nothing lies below a file or a link; every link points inside, and its
way there passes no other link. So unpacking can never leave the root, whatever the order of the members.
"""

import unicodedata

from podium.deployments.gunzip import too_large
from podium.deployments.limits import BundleLimits
from podium.deployments.tar import Kind, Member, shown
from podium.protocol.errors import InvalidBundle, TooLarge

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024


class Contents:
    """The paths of a bundle so far. `directories` are in the order in which they have to be made."""

    def __init__(self, limits: BundleLimits) -> None:
        self._limits = limits
        self._kinds: dict[str, Kind] = {}
        self._implied: set[str] = set()
        self._targets: dict[str, str] = {}
        self.directories: list[str] = []
        self.unpacked_bytes = 0

    @property
    def file_count(self) -> int:
        """How many regular files there are."""
        return sum(kind in ("file", "hardlink") for kind in self._kinds.values())

    def is_file(self, path: str) -> bool:
        """Whether a regular file lies there."""
        return self._kinds.get(path) in ("file", "hardlink")

    def admit(self, member: Member) -> str:
        """The member's path below the root, "" for the root itself; InvalidBundle or TooLarge with its name and the reason."""
        path = checked_path(member.name, member.kind)
        if not path:
            return path
        self._add_size(member)
        if member.kind == "hardlink" and not self.is_file(checked_path(member.link, "hardlink")):
            raise InvalidBundle(f"the hard link {shown(path)} points to {shown(member.link)}, which is no file before it")
        self._imply_parents(path)
        self._add(path, member.kind)
        if member.kind == "symlink":
            self._targets[path] = _checked_target(path, member.link)
        return path

    def finish(self) -> None:
        """Check what can only be known at the end: that no link leads through another."""
        for path, target in self._targets.items():
            if any(step in self._targets for step in _way(path, target) or ()):
                raise InvalidBundle(
                    f"the link {shown(path)} points to {shown(target)} through another link: point it to the file itself"
                )

    def _add_size(self, member: Member) -> None:
        limits = self._limits
        self.unpacked_bytes += member.size_bytes
        if member.size_bytes > limits.file_bytes:
            raise too_large(f"{shown(member.name)} is larger", limits.file_bytes)
        if self.unpacked_bytes > limits.unpacked_bytes:
            raise too_large(f"with {shown(member.name)} the bundle unpacks to more", limits.unpacked_bytes)

    def _imply_parents(self, path: str) -> None:
        at = path.find("/")
        while at > 0:
            parent = path[:at]
            kind = self._kinds.get(parent)
            if kind is None:
                self._put(parent, "directory")
                self._implied.add(parent)
            elif kind != "directory":
                raise InvalidBundle(f"{shown(path)} lies below {shown(parent)}, which is a {kind}")
            at = path.find("/", at + 1)

    def _add(self, path: str, kind: Kind) -> None:
        if kind == "directory" and path in self._implied:
            self._implied.remove(path)
        elif path in self._kinds:
            raise InvalidBundle(f"{shown(path)} is in the bundle twice")
        else:
            self._put(path, kind)

    def _put(self, path: str, kind: Kind) -> None:
        if len(self._kinds) >= self._limits.members:
            raise TooLarge(f"the bundle has more than {self._limits.members} members", limit=self._limits.members)
        self._kinds[path] = kind
        if kind == "directory":
            self.directories.append(path)


def checked_path(name: str, kind: Kind) -> str:
    """The path a member or hard link names, without what is only notation; "" for the root. InvalidBundle."""
    _check_characters(name)
    path = name
    while path.startswith("./"):
        path = path[2:]
    if path.startswith("/"):
        raise InvalidBundle(f"{shown(name)} is an absolute path: names in a bundle are relative to its root")
    if kind == "directory":
        path = path.removesuffix("/")
        if path in ("", "."):
            return ""
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise InvalidBundle(f"{shown(name)} contains {part!r}: names in a bundle are plain paths below its root")
        if len(part.encode()) > MAX_NAME_BYTES:
            raise InvalidBundle(f"a part of {shown(name)} is longer than {MAX_NAME_BYTES} bytes")
    return path


def _check_characters(name: str) -> None:
    if len(name.encode()) > MAX_PATH_BYTES:
        raise InvalidBundle(f"the path {shown(name)} is longer than {MAX_PATH_BYTES} bytes")
    if "\\" in name or any(unicodedata.category(character) == "Cc" for character in name):
        raise InvalidBundle(f"{shown(name)} contains a backslash or a control character: rename it")


def _checked_target(path: str, target: str) -> str:
    _check_characters(target)
    if not target or target.startswith("/") or _way(path, target) is None:
        raise InvalidBundle(f"the link {shown(path)} points to {shown(target)}, outside of the bundle")
    return target


def _way(path: str, target: str) -> list[str] | None:
    """The paths a link leads through, the last one included; None where it leaves the root."""
    at = path.split("/")[:-1]
    way = []
    for part in target.split("/"):
        if part == "..":
            if not at:
                return None
            at.pop()
        elif part not in ("", "."):
            at.append(part)
            way.append("/".join(at))
    return way

"""Where things lie under the data directory, and who may enter.

Agents search the way down to their own workspace and no further: directories on that way are 0711, everything else 0700.
"""

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path

MAX_SOCKET_PATH_BYTES = 107
_SOCKET_NAME_BYTES = len("/0123456789abcdef.sock")


class DataDirectory:
    """The data directory of one coordinator."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.instances = root / "instances"
        self.host_db = root / "host.db"
        self.journal = root / "journal"
        self.run = _run_directory(root)
        self.private = self.run / "private"  # sockets that agents must not reach
        self.launcher_socket = self.private / "launcher.sock"

    def prepare(self) -> None:
        """Make the directories that are missing. PermissionError, OSError."""
        for path, mode in ((self.root, 0o711), (self.instances, 0o711), (self.run, 0o711), (self.private, 0o700)):
            path.mkdir(parents=True, exist_ok=True)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise PermissionError(f"{path} must be a directory of the user that runs the platform")
            path.chmod(mode)

    def lock(self) -> int:
        """Take the directory for this process, exclusively and not for its children; BlockingIOError where another has it."""
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def instance(self, instance_id: str) -> "InstanceDirectory":
        """The directory of one instance."""
        return InstanceDirectory(self.instances / instance_id, self.run)


class InstanceDirectory:
    """What one instance has on this host."""

    def __init__(self, root: Path, run: Path) -> None:
        self.root = root
        self.state_db = root / "db" / "state.db"
        self.logs_db = root / "logs" / "agent.db"
        self.output = root / "logs" / "output.log"
        self.spool = root / "spool"
        self.workspace = root / "chronicle" / "mount"
        name = hashlib.blake2b(root.name.encode(), digest_size=8).hexdigest()
        self.socket = run / f"{name}.sock"

    def prepare(self) -> None:
        """Make the directories that are missing."""
        for path, mode in (
            (self.root, 0o711),
            (self.root / "chronicle", 0o711),
            (self.root / "db", 0o700),
            (self.root / "logs", 0o700),
            (self.spool, 0o700),
        ):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        link = self.root / "ipc.sock"
        if not link.is_symlink() or link.readlink() != self.socket:
            link.unlink(missing_ok=True)  # the data directory was moved
            link.symlink_to(self.socket)


def unsearchable_parent(path: Path) -> Path | None:
    """The first directory above `path` that other users cannot search: an agent's uid could not reach its files."""
    for parent in reversed(path.resolve().parents):
        if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH:
            return parent
    return None


def _run_directory(root: Path) -> Path:
    """A directory whose socket paths fit into 107 bytes: below the data directory if that is short enough."""
    inside = root / "run"
    if len(os.fsencode(inside)) + _SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES:
        return inside
    name = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"podium-{os.getuid()}-{name}"

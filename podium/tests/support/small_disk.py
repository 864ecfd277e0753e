"""A small disk of its own for a test: an ext4 on a loop device, which can be filled and whose power can be cut. Needs root.

The cut is the kernel's own (`EXT4_IOC_SHUTDOWN` without flushing the journal, as xfstests do it): from then on nothing is
written, so that what was never synced is gone when the disk is mounted again.
"""

import errno
import fcntl
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024
_SHUTDOWN = 0x8004587D
_NO_FLUSH = 2
_UNMOUNT_S = 20.0

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="NOT CHECKED without root: no disk of its own can be mounted")


class SmallDisk:
    """A mounted disk of `size_bytes`, with its image beside it."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.path = folder / "disk"
        self._image = folder / "disk.img"
        self._ballast = self.path / ".ballast"
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard", str(self._image))
        self._mount()

    @property
    def free_bytes(self) -> int:
        """What is left."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        """Take all that is free, to the last block."""
        with self._ballast.open("ab") as file:
            size_bytes = self.free_bytes
            while size_bytes >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), file.tell() if file.tell() else 0, size_bytes)
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    size_bytes //= 2
                else:
                    file.seek(0, os.SEEK_END)
                    size_bytes = min(size_bytes, self.free_bytes)

    def release(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def cut_power(self) -> None:
        """Nothing is written from now on; what has it open gets errors."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_FLUSH))
        finally:
            os.close(fd)

    def power_on(self) -> None:
        """Mount it again, as after a cut; nothing may have it open any more."""
        self._unmount()
        self._mount()

    def remove(self) -> None:
        """Unmount and forget it, even where something still has it open."""
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True)
        self._image.unlink()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))
        self.path.chmod(0o711)

    def _unmount(self) -> None:
        deadline = time.monotonic() + _UNMOUNT_S
        while subprocess.run(["umount", str(self.path)], capture_output=True).returncode:
            if time.monotonic() > deadline:
                open_by = subprocess.run(["fuser", "-m", str(self.path)], capture_output=True, text=True).stdout
                raise AssertionError(f"{self.path} stays busy: {open_by}")
            time.sleep(0.05)


@contextmanager
def small_disk(size_bytes: int = 512 * MIB) -> Iterator[SmallDisk]:
    """A disk that is gone afterwards, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="podium-disk-") as folder:
        Path(folder).chmod(0o711)
        disk = SmallDisk(Path(folder), size_bytes)
        try:
            yield disk
        finally:
            disk.remove()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)

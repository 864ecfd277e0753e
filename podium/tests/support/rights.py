"""Running a piece of a test without root's rights."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

NOBODY = 65534


@contextmanager
def nobody() -> Iterator[None]:
    """As an unprivileged uid for a while; where we are one anyway, nothing changes."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder that belongs to, and can be reached by, who `nobody` makes us."""
    folder = Path(mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)
        rmtree(folder)

"""The `uv` that installs dependencies, where the build uid can execute it: Podium itself may lie in a private directory."""

import importlib.metadata
import os
import secrets
import shutil
from pathlib import Path

import uv

_READ_AND_EXECUTE = 0o555


def provide_uv(tools: Path, build_uid: int | None) -> Path:
    """Our own uv, or a copy of it in `tools` (which others may search) where another uid has to run it. Blocks; OSError."""
    source = Path(uv.find_uv_bin()).resolve()
    if build_uid is None:
        return source
    target = tools / f"uv-{importlib.metadata.version('uv')}"
    if not _is_there(target, source):
        unfinished = tools / f".{target.name}.{secrets.token_hex(8)}"
        try:
            _link_or_copy(source, unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    return target


def _is_there(target: Path, source: Path) -> bool:
    try:
        status = target.stat()
    except FileNotFoundError:
        return False
    return status.st_size == source.stat().st_size and status.st_mode & _READ_AND_EXECUTE == _READ_AND_EXECUTE


def _link_or_copy(source: Path, target: Path) -> None:
    if source.stat().st_mode & _READ_AND_EXECUTE == _READ_AND_EXECUTE:
        try:
            target.hardlink_to(source)
        except OSError:  # another file system
            pass
        else:
            return
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing)
        os.fchmod(writing.fileno(), 0o755)
        writing.flush()
        os.fsync(writing.fileno())

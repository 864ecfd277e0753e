"""Bundles as files: what one is, and how it is unpacked. A bundle is hostile input."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from podium.deployments import manifest, requirements
from podium.deployments.archive import Archive, Entry
from podium.deployments.contents import Contents, checked_path
from podium.deployments.durable import publish_tree
from podium.deployments.gunzip import too_large
from podium.deployments.limits import BundleLimits
from podium.deployments.manifest import Manifest
from podium.deployments.tables import NAME
from podium.protocol.errors import InvalidBundle

__all__ = ["Bundle", "BundleLimits", "inspect_bundle", "unpack"]

MAX_DEPENDENCIES_BYTES = 1024 * 1024
_READ = {NAME: manifest.MAX_BYTES} | dict.fromkeys(requirements.NAMES, MAX_DEPENDENCIES_BYTES)


class Bundle(msgspec.Struct, kw_only=True, frozen=True):
    """A bundle that was read to its end and found good. `sha256` in hex."""

    manifest: Manifest
    sha256: str
    size_bytes: int
    unpacked_bytes: int
    file_count: int


def inspect_bundle(path: Path, limits: BundleLimits) -> Bundle:
    """Check all of a bundle without unpacking it. Blocks. InvalidBundle, UnsupportedRuntime, TooLarge with the reason."""
    with path.open("rb") as file:
        archive = Archive(file, limits)
        texts = {entry.path: _read(entry) for entry in archive if entry.path in _READ and entry.member.kind == "file"}
    if NAME not in texts:
        raise InvalidBundle(f"the bundle has no {NAME} at its root: pack the directory that holds it, not its parent")
    found = manifest.parse_manifest(texts[NAME])
    _check_entrypoint(found.agent.entrypoint, archive.contents)
    requirements.read_dependencies(texts)
    return Bundle(
        manifest=found,
        sha256=archive.sha256,
        size_bytes=archive.size_bytes,
        unpacked_bytes=archive.contents.unpacked_bytes,
        file_count=archive.contents.file_count,
    )


def unpack(path: Path, target: Path, limits: BundleLimits) -> None:
    """Unpack a bundle into the new directory `target`: modes 0644 and 0755, owned by the caller, durable. Blocks.

    InvalidBundle and TooLarge as `inspect_bundle`, FileExistsError where `target` exists. A failure leaves nothing; a crash may
    leave a sibling whose name begins with a dot.
    """
    staging = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    staging.mkdir(mode=0o700)
    try:
        with path.open("rb") as file:
            _write(Archive(file, limits), str(staging))
        staging.chmod(0o755)
        publish_tree(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _write(archive: Archive, root: str) -> None:
    symlinks: list[tuple[str, str]] = []
    made = 0
    for path, member, content in archive:
        made = _make_directories(root, archive.contents.directories, made)
        if member.kind == "file":
            _write_file(f"{root}/{path}", content, 0o755 if member.executable else 0o644)
        elif member.kind == "hardlink":
            os.link(f"{root}/{checked_path(member.link, 'hardlink')}", f"{root}/{path}", follow_symlinks=False)
        elif member.kind == "symlink":
            symlinks.append((member.link, f"{root}/{path}"))
    # Made last: nothing is ever written with a link in its way.
    for target, link in symlinks:
        os.symlink(target, link)  # noqa: PTH211 - pathlib would rewrite the target


def _make_directories(root: str, directories: list[str], made: int) -> int:
    for directory in directories[made:]:
        Path(f"{root}/{directory}").mkdir()
        Path(f"{root}/{directory}").chmod(0o755)
    return len(directories)


def _write_file(path: str, content: Iterator[bytes], mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        for data in content:
            file.write(data)
        os.fchmod(fd, mode)


def _read(entry: Entry) -> bytes:
    if entry.member.size_bytes > _READ[entry.path]:
        raise too_large(f"{entry.path} is larger", _READ[entry.path])
    return b"".join(entry.content)


def _check_entrypoint(entrypoint: str, contents: Contents) -> None:
    module = entrypoint.partition(":")[0].replace(".", "/")
    if not (contents.is_file(f"{module}.py") or contents.is_file(f"{module}/__init__.py")):
        raise InvalidBundle(
            f"agent.entrypoint is {entrypoint!r}, but the bundle has neither {module}.py nor {module}/__init__.py: "
            "the module's path counts from the root of the bundle"
        )

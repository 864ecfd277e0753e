"""The SDK as a wheel, made of the files that are installed here: an agent gets the SDK of the platform that runs it.

The same files give the same bytes, so the wheel's hash names an environment. Source of the format: PEP 427 and the "Binary
distribution format" of the Python packaging specifications.
"""

import base64
import hashlib
import importlib.metadata
import os
import re
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

import podium

PARTS = ("__init__.py", "py.typed", "agent", "client", "protocol", "testing")
EXTRA = "client"
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644 << 16
_ANY_EXTRA = re.compile(r"\bextra\s*==")
_OUR_EXTRA = re.compile(rf"\bextra\s*==\s*['\"]{EXTRA}['\"]")


class SdkWheel(msgspec.Struct, kw_only=True, frozen=True):
    """A wheel and the hash of its bytes, in hex."""

    path: Path
    sha256: str


def build_sdk_wheel(target_dir: Path) -> SdkWheel:
    """Write the wheel into `target_dir`, in place of an earlier one. Blocks; OSError."""
    version = podium.__version__
    info = f"podium-{version}.dist-info"
    files = dict(_sources(Path(podium.__file__).parent))
    files[f"{info}/METADATA"] = _metadata(version)
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: podium\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    path = target_dir / f"podium-{version}-py3-none-any.whl"
    unfinished = target_dir / f".{path.name}.{secrets.token_hex(8)}"
    try:
        _write(unfinished, files)
        sha256 = hashlib.sha256(unfinished.read_bytes()).hexdigest()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return SdkWheel(path=path, sha256=sha256)


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    found = [path for part in PARTS for path in _files(package / part)]
    for path in sorted(found):
        yield f"podium/{path.relative_to(package).as_posix()}", path.read_bytes()


def _files(part: Path) -> Iterator[Path]:
    if part.is_file():
        yield part
    for path in part.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _metadata(version: str) -> bytes:
    required = importlib.metadata.requires("podium") or []
    kept = [line for line in required if not _ANY_EXTRA.search(line) or _OUR_EXTRA.search(line)]
    lines = [
        "Metadata-Version: 2.1",
        "Name: podium",
        f"Version: {version}",
        "Requires-Python: >=3.11",
        f"Provides-Extra: {EXTRA}",
    ]
    return "\n".join([*lines, *(f"Requires-Dist: {line}" for line in kept), ""]).encode()


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    return "\n".join([*lines, f"{own_name},,", ""]).encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _write(path: Path, files: dict[str, bytes]) -> None:
    # Stored, not compressed: the bytes do not depend on the version of zlib.
    with path.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as wheel:
            for name, content in files.items():
                member = zipfile.ZipInfo(name, _FIXED_TIME)
                member.create_system, member.external_attr = 3, _FILE_MODE
                wheel.writestr(member, content)
        os.fchmod(file.fileno(), 0o644)
        file.flush()
        os.fsync(file.fileno())

"""What a client reads of a bundle's `podium.toml`: the names it is deployed under. The platform checks the rest."""

import re
import tarfile
import tomllib
import zlib
from pathlib import Path
from typing import NamedTuple

from podium.protocol.errors import InvalidBundle
from podium.protocol.ids import AGENT_TYPE, MAX_VERSION_CHARS, VERSION

NAME = "podium.toml"
_MAX_BYTES = 1 << 20
_MAX_MEMBERS = 100_000


class Manifest(NamedTuple):
    """The agent type and version a bundle is deployed as."""

    agent_type: str
    version: str


def parse_manifest(content: bytes) -> Manifest:
    """Read a `podium.toml`; raises InvalidBundle saying which value to change."""
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidBundle(f"{NAME} is not valid TOML: {error}") from error
    agent = document.get("agent")
    if not isinstance(agent, dict):
        raise InvalidBundle(f"{NAME} has no [agent] table with type, version, runtime and entrypoint")
    agent_type = _value(agent, "type", AGENT_TYPE, "small letters, digits and hyphens, such as notes")
    version = _value(agent, "version", VERSION, "a SemVer 2.0 version such as 1.0.0")
    if len(version) > MAX_VERSION_CHARS:
        raise InvalidBundle(f"agent.version in {NAME} is longer than {MAX_VERSION_CHARS} characters")
    return Manifest(agent_type, version)


def read_manifest(bundle: Path) -> Manifest:
    """The manifest of a packed bundle; raises InvalidBundle where it is none, OSError where it cannot be read."""
    try:
        with tarfile.open(bundle, "r:gz") as archive:
            for count, member in enumerate(archive):
                if count > _MAX_MEMBERS:
                    break
                if member.name.removeprefix("./") == NAME and member.isreg():
                    return parse_manifest(_content(archive, member))
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise InvalidBundle(f"{bundle} is not a tar.gz: {error}") from error
    raise InvalidBundle(f"{bundle} has no {NAME} at its root")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InvalidBundle(f"{NAME} is larger than {_MAX_BYTES} bytes")
    return content


def _value(agent: dict[str, object], key: str, pattern: re.Pattern[str], expected: str) -> str:
    value = agent.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidBundle(f"agent.{key} in {NAME} is {value!r:.80}; it must be {expected}")
    return value

"""How deployments are named: references, keys in the object store, and versions in the order of SemVer."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from semver import Version

from podium.protocol.errors import InvalidRequest
from podium.protocol.ids import AGENT_TYPE, checked, checked_version

RECORD_NAME = "deployment.json"
OWNER_NAME = "owner.json"
MARK_NAME = "removed.json"
_DIGEST = re.compile(r"[0-9a-f]{8}", re.ASCII)


class Reference(NamedTuple):
    """`type`, `type:version` or `type:version@digest`, taken apart."""

    agent_type: str
    version: str | None = None
    digest: str | None = None


class Keys:
    """Where the deployments of one environment lie in the object store."""

    def __init__(self, environment: str) -> None:
        self.root = f"{environment}/deployments/"

    def agent_type(self, agent_type: str) -> str:
        """The folder of an agent type."""
        return f"{self.root}{agent_type}/"

    def owner(self, agent_type: str) -> str:
        """The object that says whose an agent type is."""
        return f"{self.agent_type(agent_type)}{OWNER_NAME}"

    def bundle(self, agent_type: str, version: str) -> str:
        """The bundle of a version."""
        return f"{self.agent_type(agent_type)}{version}/{agent_type}-{version}.tar.gz"

    def record(self, agent_type: str, version: str) -> str:
        """The record of a version: once it is there, the deployment exists."""
        return f"{self.agent_type(agent_type)}{version}/{RECORD_NAME}"

    def mark(self, agent_type: str, version: str) -> str:
        """What says that a version is being removed, or was."""
        return f"{self.agent_type(agent_type)}{version}/{MARK_NAME}"

    def recorded(self, key: str) -> tuple[str, str] | None:
        """Agent type and version of a record's key; None for every other key."""
        parts = key.removeprefix(self.root).split("/")
        return (parts[0], parts[1]) if len(parts) == 3 and parts[2] == RECORD_NAME else None


def parse_reference(text: str) -> Reference:
    """Take a reference apart; InvalidRequest for anything else."""
    name, at, digest = text.partition("@")
    agent_type, colon, version = name.partition(":")
    if at and not (colon and _DIGEST.fullmatch(digest)):
        raise InvalidRequest(f"{text[:120]!r} names no deployment: write type, type:version or type:version@ and 8 hex digits")
    checked("agent_type", AGENT_TYPE, agent_type)
    return Reference(agent_type, checked_version(version) if colon else None, digest or None)


def newest(versions: Iterable[str]) -> str | None:
    """The highest version that is no prerelease."""
    released = [version for version in versions if not Version.parse(version).prerelease]
    return max(released, key=precedence, default=None)


def next_version(version: str, taken: Iterable[str]) -> str:
    """The lowest version above all that are taken: the next patch, or of a prerelease the next one of its series."""
    asked = Version.parse(version)
    core = asked.finalize_version()
    if asked.prerelease is None:
        highest = max(Version.parse(other).finalize_version() for other in (version, *taken))
        return str(highest.bump_patch())
    series = [other for other in map(Version.parse, (version, *taken)) if other.prerelease and other.finalize_version() == core]
    return f"{core}-{_bumped(str(max(series).prerelease))}"


def precedence(version: str) -> tuple[Version, str]:
    """The order of versions; build metadata only decides where SemVer sees no difference."""
    return Version.parse(version), version


def _bumped(prerelease: str) -> str:
    head, dot, last = prerelease.rpartition(".")
    return f"{head}{dot}{int(last) + 1}" if last.isdigit() else f"{prerelease}.1"

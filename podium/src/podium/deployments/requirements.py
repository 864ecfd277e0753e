"""The dependencies of a bundle, read by ourselves: nothing of a bundle is ever built, and wheels come from the index alone.

`requirements.txt` where there is one, else `[project].dependencies` of `pyproject.toml`. Accepted are requirements by name as in
PEP 508; options, paths and URLs are refused by name. Source of names and versions: PEP 440, PEP 503, PEP 508.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from podium.protocol.errors import InvalidBundle

NAMES = ("requirements.txt", "pyproject.toml")
SDK_NAME = "podium"
SDK_EXTRAS = ("client",)
MAX_REQUIREMENTS = 1000
MAX_LINE_CHARS = 20_000
"""One requirement with its hashes."""

_NAME = r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9])?)"
_EXTRAS = r"(?:\[(?P<extras>[A-Za-z0-9._,\s-]*)\])?"
_CLAUSE = r"(?:===|~=|==|!=|<=|>=|<|>)\s*[A-Za-z0-9._*+!-]+"
_VERSIONS = rf"(?:{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*,?)?"
_MARKER = r"(?:;[\w\s.,'\"=<>!~()*+-]+)?"
_REQUIREMENT = re.compile(rf"{_NAME}\s*{_EXTRAS}\s*(?:\(\s*{_VERSIONS}\s*\)|{_VERSIONS})\s*{_MARKER}", re.ASCII)
_HASHES = re.compile(r"(?:\s+--hash=(?:sha256|sha384|sha512):[0-9a-fA-F]{64,128})+$")
_ARCHIVES = (".whl", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".egg")
_PYTHON_CLAUSE = re.compile(r"\s*(===|~=|==|!=|<=|>=|<|>)\s*(\d{1,4}(?:\.\d{1,4}){0,3})(\.\*)?\s*", re.ASCII)


class Dependencies(msgspec.Struct, kw_only=True, frozen=True):
    """What a bundle needs besides our SDK: requirement lines, the SDK's extras it names, and the Pythons it runs on."""

    requirements: tuple[str, ...] = ()
    sdk_extras: tuple[str, ...] = ()
    requires_python: str | None = None


def read_dependencies(files: Mapping[str, bytes]) -> Dependencies:
    """Read the dependency files of a bundle, by their names. InvalidBundle names the line that is refused, and why."""
    project = _project(files["pyproject.toml"]) if "pyproject.toml" in files else {}
    if "requirements.txt" in files:
        lines = _lines(_decoded("requirements.txt", files["requirements.txt"]))
        source = "requirements.txt"
    else:
        lines = _project_dependencies(project)
        source = "pyproject.toml"
    if len(lines) > MAX_REQUIREMENTS:
        raise InvalidBundle(f"{source} names {len(lines)} requirements; {MAX_REQUIREMENTS} are allowed")
    return _sorted_out(source, lines, _requires_python(project))


def fits(requires_python: str, version: tuple[int, ...]) -> bool:
    """Whether a release such as (3, 11, 2) satisfies a `requires-python` such as `>=3.11,<4`."""
    return all(_clause_fits(clause, version) for clause in requires_python.split(",") if clause.strip())


def _sorted_out(source: str, lines: list[str], requires_python: str | None) -> Dependencies:
    requirements: list[str] = []
    extras: set[str] = set()
    for line in lines:
        match = _checked(source, line)
        if _normal(match["name"]) == SDK_NAME:
            extras |= {_normal(extra.strip()) for extra in (match["extras"] or "").split(",")}
        else:
            requirements.append(line)
    known = tuple(extra for extra in SDK_EXTRAS if extra in extras)
    return Dependencies(requirements=tuple(requirements), sdk_extras=known, requires_python=requires_python)


def _checked(source: str, line: str) -> re.Match[str]:
    """A requirement by name, or InvalidBundle."""
    if line.startswith("-"):
        _refuse(source, line, "is an option; only requirements by name are accepted, and wheels come from the platform's index")
    if len(line) > MAX_LINE_CHARS:
        _refuse(source, line, f"is longer than {MAX_LINE_CHARS} characters")
    bare = _HASHES.sub("", line)
    match = _REQUIREMENT.fullmatch(bare)
    if match is None:
        reason = "names a path or URL" if "/" in bare or "@" in bare else "is no requirement by name"
        _refuse(source, line, f"{reason}; write for example httpx>=0.28,<1")
    if match["name"].lower().endswith(_ARCHIVES):
        _refuse(source, line, "names a file; write for example httpx>=0.28,<1")
    return match


def _refuse(source: str, line: str, reason: str) -> NoReturn:
    raise InvalidBundle(f"{source}: {line[:120]!r} {reason}")


def _lines(text: str) -> list[str]:
    """The requirements of a requirements file: continued lines joined, comments dropped."""
    joined = re.sub(r"\\\r?\n", " ", text)
    stripped = (" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in joined.splitlines())
    return [line for line in stripped if line]


def _project(content: bytes) -> dict[str, Any]:
    try:
        document = tomllib.loads(_decoded("pyproject.toml", content))
    except (ValueError, RecursionError) as error:
        raise InvalidBundle(f"pyproject.toml is not valid TOML: {str(error)[:200]}") from None
    project = document.get("project", {})
    if not isinstance(project, dict):
        raise InvalidBundle("pyproject.toml: project must be a table: write [project] on a line of its own")
    return project


def _project_dependencies(project: dict[str, Any]) -> list[str]:
    dynamic, listed = project.get("dynamic", []), project.get("dependencies", [])
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        raise InvalidBundle("pyproject.toml: project.dependencies is dynamic, but a bundle is never built: list them there")
    if not isinstance(listed, list) or not all(isinstance(line, str) for line in listed):
        raise InvalidBundle('pyproject.toml: project.dependencies must be a list of text, such as ["httpx>=0.28,<1"]')
    return [" ".join(line.split()) for line in listed]


def _requires_python(project: dict[str, Any]) -> str | None:
    value = project.get("requires-python")
    if value is None:
        return None
    if not isinstance(value, str) or not all(_PYTHON_CLAUSE.fullmatch(clause) for clause in value.split(",") if clause.strip()):
        raise InvalidBundle('pyproject.toml: project.requires-python must be versions to compare with, such as ">=3.11,<4"')
    return value


def _clause_fits(clause: str, version: tuple[int, ...]) -> bool:
    match = _PYTHON_CLAUSE.fullmatch(clause)
    assert match is not None
    operator, release = match[1], tuple(int(part) for part in match[2].split("."))
    wanted, have = _padded(release), _padded(version)
    if match[3] or operator == "~=":
        series = release if match[3] else release[:-1]
        inside = have[: len(series)] == series
        return inside != (operator == "!=") and (operator != "~=" or have >= wanted)
    return {
        "==": have == wanted, "===": have == wanted, "!=": have != wanted,
        "<=": have <= wanted, ">=": have >= wanted, "<": have < wanted, ">": have > wanted,
    }[operator]  # fmt: skip


def _padded(release: tuple[int, ...]) -> tuple[int, ...]:
    return (*release, 0, 0, 0, 0)[:4]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidBundle(f"{name} is not UTF-8: save it as UTF-8") from None

"""Finding each setting's value: a flag, else the environment, else the file, else the default. All problems are told at once."""

import difflib
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from podium.config.settings import Setting, Settings, rows

FILE_VARIABLE = "PODIUM_CONFIG"


class ConfigError(Exception):
    """Settings that cannot be used: one line for each in `problems`, saying what to set."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Found(NamedTuple):
    text: str
    origin: str


def load_settings(
    environ: Mapping[str, str], flags: Mapping[str, Any] | None = None, file: Path | None = None, needs: Collection[str] = ()
) -> Settings:
    """Read all settings; ConfigError where any cannot be used, or is not set although it is among `needs`.

    `flags` are by key, None where not given. `file`, else PODIUM_CONFIG, names a TOML file that has to exist.
    """
    if file is None and environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE])
    document, problems = _read_file(file) if file else ({}, [])
    values: dict[str, Any] = {}
    for field, setting in rows():
        found = next(_sources(setting, environ, flags or {}, document, str(file)), None)
        if found:
            values[field] = _read(setting, found, problems)
        elif setting.name in needs:
            problems.append(f"{setting.name}: is not set; has to be {setting.kind.expected}")
        elif not problems:
            values[field] = _default(setting, environ, values)
    if problems:
        raise ConfigError(problems)
    return Settings(**values)


def _sources(
    setting: Setting, environ: Mapping[str, str], flags: Mapping[str, Any], document: Mapping[str, Any], file: str
) -> Iterator[_Found]:
    if flags.get(setting.key) is not None:
        yield _Found(str(flags[setting.key]), f"--{setting.key.replace('_', '-')}")
    if environ.get(setting.name):
        yield _Found(environ[setting.name], "the environment")
    if setting.key in document:
        yield _Found(str(document[setting.key]), file)


def _read(setting: Setting, found: _Found, problems: list[str]) -> Any:
    try:
        return setting.kind.read(found.text)
    except ValueError:
        value = "what it is" if setting.secret or "@" in found.text else repr(found.text[:80])
        problems.append(f"{setting.name}: has to be {setting.kind.expected}, not {value} (set by {found.origin})")
        return None


def _default(setting: Setting, environ: Mapping[str, str], above: Mapping[str, Any]) -> Any:
    if callable(setting.default):
        return setting.default(environ, above)
    return None if setting.default is None else setting.kind.read(setting.default)


def _read_file(file: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        with file.open("rb") as opened:
            document = tomllib.load(opened)
    except OSError as error:
        return {}, [f"{file}: cannot be read: {error.strerror}; name another file by --config or {FILE_VARIABLE}"]
    except ValueError as error:  # also what is not UTF-8
        return {}, [f"{file}: is not valid TOML: {error}"]
    return document, [*_file_problems(file, document)]


def _file_problems(file: Path, document: Mapping[str, Any]) -> Iterator[str]:
    known = {setting.key: setting for _, setting in rows()}
    for key, value in document.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            yield f"{file}: {key} is not a setting{f'; did you mean {near[0]}?' if near else ''}"
        elif isinstance(value, dict | list):
            yield f"{file}: {key} has to be a plain value"
    if any(setting.secret for key, setting in known.items() if key in document) and file.stat().st_mode & stat.S_IROTH:
        yield f"{file}: holds secrets and everybody may read it, agents too: chmod 600 it"

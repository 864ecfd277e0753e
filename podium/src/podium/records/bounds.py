"""What the record of an instance may hold: configuration, labels, secrets and variables, checked before they are written."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from podium.protocol.errors import InvalidRequest, TooLarge

MAX_CONFIG_BYTES = 64 * 1024
MAX_CONFIG_DEPTH = 32
MAX_LABELS = 64
MAX_SECRETS = 64
MAX_SECRETS_BYTES = 64 * 1024
MAX_VARIABLES = 128
MAX_VARIABLES_BYTES = 32 * 1024
_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_RESERVED = re.compile(r"AGENT_.*|PODIUM_.*|LD_.*|PATH|HOME", re.ASCII)


def merge_patch(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A new document with a JSON Merge Patch (RFC 7396) applied: null removes, objects are merged, all else replaces."""
    result = dict(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[key] = merge_patch(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that turns one document into the other; neither holds a null as a member's value."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := difference(old, value):
                patch[key] = inner
        elif key not in before or not _same(old, value):
            patch[key] = value
    return patch


def checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without nulls (an absent member and a null one are the same); InvalidRequest, TooLarge."""
    _check_depth(config, "config", MAX_CONFIG_DEPTH)
    found = merge_patch({}, config)
    _check_bytes("the configuration", len(msgspec.json.encode(found)), MAX_CONFIG_BYTES)
    return found


def patched_config(config: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with a merge patch applied; InvalidRequest, TooLarge."""
    _check_depth(patch, "config", MAX_CONFIG_DEPTH)
    return checked_config(merge_patch(config, patch))


def checked_labels(labels: dict[str, str]) -> dict[str, str]:
    """TooLarge where there are more than MAX_LABELS."""
    _check_count("labels", len(labels), MAX_LABELS)
    return labels


def checked_secrets(secrets: dict[str, str]) -> dict[str, str]:
    """Secrets by name; errors never tell a value. InvalidRequest, TooLarge."""
    _check_count("secrets", len(secrets), MAX_SECRETS)
    _check_names("a secret's name", secrets, _SECRET_NAME)
    _check_bytes("all secrets together", _size_bytes(secrets), MAX_SECRETS_BYTES)
    return secrets


def checked_environment(environment: dict[str, str]) -> dict[str, str]:
    """Variables for the agent's process; InvalidRequest also for those that the platform sets itself. TooLarge."""
    _check_count("variables", len(environment), MAX_VARIABLES)
    _check_names("a variable's name", environment, _VARIABLE_NAME)
    for name, value in environment.items():
        if _RESERVED.fullmatch(name):
            raise InvalidRequest(
                f"environment.{name} is reserved: the platform sets PATH, HOME, AGENT_*, PODIUM_* and LD_* itself"
            )
        if "\0" in value:
            raise InvalidRequest(f"environment.{name} holds a NUL character; no variable can")
    _check_bytes("all variables together", _size_bytes(environment), MAX_VARIABLES_BYTES)
    return environment


def _check_names(what: str, values: dict[str, str], pattern: re.Pattern[str]) -> None:
    for name, value in values.items():
        if not pattern.fullmatch(name):
            raise InvalidRequest(f"{what} has to match {pattern.pattern}, and {name[:80]!r} does not")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"the value of {name} is not valid Unicode") from None


def _check_depth(value: Any, path: str, left: int) -> None:
    inner: Mapping[Any, Any] = value if isinstance(value, Mapping) else dict(enumerate(value)) if isinstance(value, list) else {}
    if inner and not left:
        raise InvalidRequest(f"{path[:160]} lies more than {MAX_CONFIG_DEPTH} levels deep: flatten it")
    for key, item in inner.items():
        _check_depth(item, f"{path}.{key}", left - 1)


def _check_count(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise TooLarge(f"there are {count} {what}; at most {limit} are possible", limit=limit, current=count)


def _check_bytes(what: str, size_bytes: int, limit: int) -> None:
    if size_bytes > limit:
        raise TooLarge(f"{what} has {size_bytes} bytes; at most {limit} are possible", limit=limit, current=size_bytes)


def _size_bytes(values: dict[str, str]) -> int:
    return sum(len(name) + len(value.encode()) for name, value in values.items())


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    return type(one) is type(other) and msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")

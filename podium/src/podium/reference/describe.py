"""The route table in words: what both forms of the API reference, the page in `docs/` and `/docs`, lay out."""

from collections.abc import Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, NamedTuple

from podium.protocol.errors import PodiumError, by_code
from podium.protocol.routes import ALWAYS, AUTHENTICATED, ROUTES, Route
from podium.reference.openapi import media_of, openapi, tag

TITLE = "API reference"


class Table(NamedTuple):
    """Rows under a heading of their own; in the cells, backquotes mark code."""

    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Entry(NamedTuple):
    """One route, or one body: its name, what is said of it, and its tables."""

    name: str
    text: str
    tables: list[Table]


class Section(NamedTuple):
    """Entries that belong together."""

    title: str
    entries: list[Entry]


def sections() -> list[Section]:
    """All routes by their part of the API, then all bodies."""
    ordered = sorted(ROUTES, key=lambda route: _ORDER.index(tag(route)))
    made = [Section(name.capitalize(), [_route(route) for route in routes]) for name, routes in groupby(ordered, tag)]
    return [*made, Section("Bodies", [_body(name, schema) for name, schema in openapi()["components"]["schemas"].items()])]


def errors() -> Table:
    """Every code."""
    rows = [
        (f"`{code}`", str(kind.status), "yes" if kind.retryable else "no", f"{kind.title}.", kind.remedy)
        for code, kind in sorted(by_code().items(), key=lambda item: (item[1].status, item[0]))
    ]
    return Table("", ("code", "status", "retryable", "what", "what to do"), rows)


_UNBUILT = "Part of the contract, but not built yet: answers 501 `not_available`."
_ORDER = ("platform", "deployments", "instances", "messages", "files", "config", "secrets", "keys", "coordinators")


def _route(route: Route) -> Entry:
    words = [route.doc]
    if route.permission:
        words.append("For administrators." if route.permission == "admin" else f"Needs the permission `{route.permission}`.")
    if not route.built:
        words.append(_UNBUILT)
    return Entry(
        f"{route.method} {route.path.replace(':path}', '}')}", " ".join(words), list(_tables(route)) if route.built else []
    )


def _tables(route: Route) -> Any:
    if given := [parameter for parameter in route.parameters if parameter.place != "path"]:
        described = {parameter["name"]: parameter["schema"] for parameter in _operation(route)["parameters"]}
        rows = [
            (f"`{p.name}`", p.place, type_text(described[p.name]) if p.built else "", p.doc if p.built else f"{p.doc} {_UNBUILT}")
            for p in given
        ]
        yield Table("", ("parameter", "in", "type", "what"), rows)
    if route.request is not None:
        [(media, content)] = _operation(route)["requestBody"]["content"].items()
        yield Table("", ("sends", "body"), [(media, type_text(content["schema"]))])
    yield Table("", ("answers", "with", "when"), [*_answers(route), *_errors(route.errors)])


def _answers(route: Route) -> Any:
    responses = _operation(route)["responses"]
    for answer in route.answers:
        media = media_of(answer)
        body = (
            type_text(responses[str(answer.status)]["content"][media]["schema"])
            if answer.body is not None
            else media or "nothing"
        )
        yield str(answer.status), body, answer.doc or f"{HTTPStatus(answer.status).phrase}."


def _errors(kinds: tuple[type[PodiumError], ...]) -> Any:
    for kind in sorted(set(kinds) - {*ALWAYS, *AUTHENTICATED}, key=lambda kind: (kind.status, kind.code)):
        yield str(kind.status), f"`{kind.code}`", f"{kind.title}."


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = openapi()["paths"][route.path.replace(":path}", "}")][route.method.lower()]
    return operation


def _body(name: str, schema: dict[str, Any]) -> Entry:
    needed = schema.get("required", ())
    rows = [
        (f"`{field}`", type_text(member), "yes" if field in needed else _default(member))
        for field, member in schema.get("properties", {}).items()
    ]
    return Entry(name, schema.get("description", ""), [Table("", ("field", "type", "required"), rows)])


def _default(schema: dict[str, Any]) -> str:
    shown = schema.get("default")
    return "no" if shown in (None, [], {}, "") else f"no, else `{shown}`"


def type_text(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(type_text(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {type_text(schema.get('items', {}))}"
    if schema.get("type") == "object":
        return f"object of {type_text(schema['additionalProperties'])}" if schema.get("additionalProperties") else "object"
    return f"{schema.get('format') or schema.get('type', 'anything')}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    within = f" from {low} to {high}" if low is not None and high is not None else ""
    longest = f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    default = f", {schema['default']} where missing" if isinstance(schema.get("default"), int | float) else ""
    pattern = f", `{schema['pattern']}`" if len(schema.get("pattern", "")) in range(1, 80) else ""
    return f"{within}{longest}{default}{pattern}"

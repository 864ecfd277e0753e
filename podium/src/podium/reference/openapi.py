"""The OpenAPI 3.1 document of the public API, made from the route table; schemas are msgspec's."""

import re
from functools import cache
from http import HTTPStatus
from inspect import cleandoc
from itertools import groupby
from typing import Any

import msgspec

from podium import __version__
from podium.protocol.api import Problem
from podium.protocol.errors import PodiumError
from podium.protocol.parameters import Parameter
from podium.protocol.routes import JSON, ROUTES, Answer, Route

PROBLEM = "application/problem+json"
_REFERENCE = "#/components/schemas/{name}"
_REQUEST_ID = {"description": "Names this request in the platform's log.", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds to wait before trying again.", "schema": {"type": "integer", "minimum": 0}}
INTRODUCTION = (
    "Every request but those under Platform carries `Authorization: Bearer pod_…`. Bodies are JSON in UTF-8; unknown fields and"
    " wrong types are refused. Times are RFC 3339 in UTC. Lists are `items` and `next_cursor`, which goes into `cursor`. Every"
    " answer carries `x-request-id`: the client's own, if it sent one of 1 to 64 of `A-Za-z0-9_.:-`. HEAD answers the head of"
    " GET; other methods than these are 405 with `Allow`. There is no CORS. Errors are problem documents (RFC 9457) with a"
    " stable `code`. Any route can answer `invalid_request`, `too_slow`, `too_many`, `head_too_large`, `internal`,"
    " `unavailable` and `newer_format`, and those that need a key `unauthorized` and `forbidden`. A parameter of the query that"
    " a route does not know, or that comes twice, is refused."
)


@cache
def openapi() -> dict[str, Any]:
    """The whole document; do not change it."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        path = route.path.replace(":path}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Podium", "version": __version__, "description": INTRODUCTION},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key, `pod_…`."}},
        },
    }


def tag(route: Route) -> str:
    """The part of the API a route belongs to."""
    parts = [part for part in route.path.removeprefix("/api/v1/").strip("/").split("/") if not part.startswith("{")]
    if not route.path.startswith("/api/"):
        return "instances" if route.path.startswith("/agent") else "platform"
    named = parts[1] if parts[0] == "instances" and len(parts) > 1 else parts[0]
    return named if named in ("messages", "files") else parts[0]


class _Schemas:
    """All structs as components, and any other type where it stands."""

    def __init__(self) -> None:
        types = [Problem]
        for route in ROUTES:
            types += [kind for kind in (route.request, *(answer.body for answer in route.answers)) if kind is not None]
        found, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        self._of = {repr(kind): _renamed(schema) for kind, schema in zip(types, found, strict=True)}
        self.components = {_name(name): _tidy(_renamed(schema)) for name, schema in components.items()}

    def __getitem__(self, kind: Any) -> dict[str, Any]:
        schema: dict[str, Any] = self._of[repr(kind)]
        return schema


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    described = route.doc if route.built else f"{route.doc} Part of the contract but not built yet: answers 501."
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.doc.split(". ")[0].rstrip("."),
        "description": described,
        "tags": [tag(route)],
        "parameters": [_parameter(parameter) for parameter in route.parameters if parameter.built],
        "responses": _responses(route, schemas),
        "x-podium-built": route.built,
    }
    if route.request is not None:
        operation["requestBody"] = {"required": True, "content": {route.takes: {"schema": schemas[route.request]}}}
    if route.permission is None:
        operation["security"] = []
    else:
        operation["x-podium-permission"] = route.permission
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = msgspec.json.schema(parameter.type)
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name, "in": parameter.place, "description": parameter.doc, "required": parameter.place == "path",
        "schema": schema,
    }  # fmt: skip


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in route.answers:
        response = responses.setdefault(str(answer.status), {"description": "", "headers": {"x-request-id": _REQUEST_ID}})
        response["description"] = f"{response['description']} {answer.doc or _phrase(answer.status)}".strip()
        response["headers"] |= {name: {"schema": {"type": "string"}} for name in answer.headers}
        if media := media_of(answer):
            schema = {"type": "string"} if answer.body is None else schemas[answer.body]
            response.setdefault("content", {})[media] = {"schema": schema}
    for status, kinds in groupby(sorted(route.errors, key=lambda kind: kind.status), lambda kind: kind.status):
        _add_errors(responses.setdefault(str(status), {"description": "", "headers": {}}), list(kinds))
    return dict(sorted(responses.items()))


def media_of(answer: Answer) -> str | None:
    """The media type of an answer; None where it has no body."""
    return answer.media or (JSON if answer.body is not None else None)


def _add_errors(response: dict[str, Any], kinds: list[type[PodiumError]]) -> None:
    said = " ".join(f"`{kind.code}`: {kind.title}." for kind in kinds)
    response["description"] = f"{response['description']} {said}".strip()
    response["headers"] |= {"x-request-id": _REQUEST_ID}
    if any(kind.retryable for kind in kinds):
        response["headers"]["retry-after"] = _RETRY_AFTER
    codes = {"properties": {"code": {"enum": sorted(kind.code for kind in kinds)}}}
    schema = {"allOf": [{"$ref": _REFERENCE.format(name="Problem")}, codes]}
    response.setdefault("content", {})[PROBLEM] = {"schema": schema}


def _phrase(status: int) -> str:
    return f"{HTTPStatus(status).phrase}."


def _name(name: str) -> str:
    """`Page_Deployment_` as it is said: DeploymentPage."""
    return re.sub(r"^Page_(\w+)_$", r"\1Page", name)


def _renamed(schema: Any) -> Any:
    """The same schema, its references to components under the names they have here."""
    if isinstance(schema, dict):
        return {
            key: _REFERENCE.format(name=_name(value.rpartition("/")[2])) if key == "$ref" else _renamed(value)
            for key, value in schema.items()
        }
    return [_renamed(item) for item in schema] if isinstance(schema, list) else schema


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Bytes are a part of a form here, never base64 in JSON; docstrings lose their margin."""
    if "description" in schema:
        schema["description"] = cleandoc(schema["description"])
    for member in schema.get("properties", {}).values():
        if member.get("contentEncoding") == "base64":
            del member["contentEncoding"]
            member["contentMediaType"] = "application/octet-stream"
    return schema

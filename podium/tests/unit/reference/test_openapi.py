"""The OpenAPI document says what the route table says, in the form the specification asks for."""

import re
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pytest
import schemathesis

from podium.coordinator.lifecycle import Status
from podium.protocol import parameters
from podium.protocol.errors import NotFound, by_code
from podium.protocol.routes import ROUTES, Route
from podium.reference import openapi

DOCUMENT = openapi()


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.path.replace(":path}", "}")][route.method.lower()]
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [reference for value in node.values() for reference in references(value)]
    return [reference for item in node for reference in references(item)] if isinstance(node, list) else []


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert msgspec.json.decode(msgspec.json.encode(DOCUMENT)) == DOCUMENT


def test_every_schema_is_one_and_every_reference_leads_to_it() -> None:
    components = DOCUMENT["components"]["schemas"]
    for schema in components.values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    assert {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)} == set(components)
    assert all(re.fullmatch(r"[A-Za-z]+", name) for name in components)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_route_is_described_whole(route: Route) -> None:
    described = operation(route)
    assert described["operationId"] == route.name
    assert described["description"].startswith(route.doc)
    assert route.doc.endswith(".")
    assert described["x-podium-built"] == route.built
    in_path = {parameter["name"] for parameter in described["parameters"] if parameter["in"] == "path"}
    assert in_path == set(re.findall(r"\{(\w+)", route.path))
    assert len({(parameter["name"], parameter["in"]) for parameter in described["parameters"]}) == len(described["parameters"])
    assert ("requestBody" in described) == (route.request is not None)
    assert all(response["description"] and response["headers"]["x-request-id"] for response in described["responses"].values())
    if route.permission is None:
        assert described["security"] == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_way_to_end_is_described(route: Route) -> None:
    responses = operation(route)["responses"]
    for error in route.errors:
        schema = responses[str(error.status)]["content"]["application/problem+json"]["schema"]
        assert error.code in schema["allOf"][1]["properties"]["code"]["enum"]
    for answer in route.answers:
        assert str(answer.status) in responses
    assert route.built == any(int(status) < 300 or status == "101" for status in responses)
    assert route.built or "501" in responses


def test_a_problem_is_what_the_schema_says() -> None:
    schema = {**DOCUMENT["components"]["schemas"]["Problem"], "$defs": {}}
    for kind in by_code().values():
        jsonschema_rs.validate(schema, kind("what, why, what to do", limit=3, current=4).problem("req_1"))
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, NotFound("x").problem("req_1") | {"code": 7})


def test_the_words_of_parameters_are_those_of_the_code() -> None:
    assert set(get_args(parameters.Status)) == set(Status)

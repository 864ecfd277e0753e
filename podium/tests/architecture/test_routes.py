"""The one route table: complete, unambiguous, and answered."""

import re
from collections import Counter

import pytest

from podium.coordinator.server import HANDLERS
from podium.protocol.errors import PodiumError, by_code
from podium.protocol.routes import ROUTES, Route

V1 = "/api/v1"
INSTANCE = f"{V1}/instances/{{instance_id}}"
CONTRACT = [
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("POST", f"{V1}/deployments"),
    ("GET", f"{V1}/deployments"),
    ("GET", f"{V1}/deployments/{{deployment_id}}"),
    ("DELETE", f"{V1}/deployments/{{deployment_id}}"),
    ("POST", f"{V1}/instances"),
    ("GET", f"{V1}/instances"),
    ("GET", INSTANCE),
    ("PATCH", INSTANCE),
    ("DELETE", INSTANCE),
    ("POST", f"{INSTANCE}/messages"),
    ("GET", f"{INSTANCE}/messages"),
    ("GET", f"{INSTANCE}/messages/{{message_id}}"),
    ("GET", f"{INSTANCE}/events"),
    ("POST", f"{INSTANCE}/steer"),
    ("POST", f"{INSTANCE}/stop"),
    ("POST", f"{INSTANCE}/answer"),
    ("POST", f"{INSTANCE}/hibernate"),
    ("POST", f"{INSTANCE}/wake"),
    ("POST", f"{INSTANCE}/restart"),
    ("POST", f"{INSTANCE}/move"),
    ("GET", f"{INSTANCE}/checkpoints"),
    ("POST", f"{INSTANCE}/fork"),
    ("POST", f"{INSTANCE}/rewind"),
    ("GET", f"{INSTANCE}/state"),
    ("GET", f"{INSTANCE}/logs"),
    ("GET", f"{INSTANCE}/files"),
    ("GET", f"{INSTANCE}/files/{{path}}"),
    ("POST", f"{INSTANCE}/files/{{path}}"),
    ("PUT", f"{INSTANCE}/files/{{path}}"),
    ("DELETE", f"{INSTANCE}/files/{{path}}"),
    ("POST", f"{V1}/keys"),
    ("GET", f"{V1}/keys"),
    ("DELETE", f"{V1}/keys/{{key_prefix}}"),
    ("PUT", f"{V1}/secrets/{{agent_type}}"),
    ("GET", f"{V1}/secrets/{{agent_type}}"),
    ("DELETE", f"{V1}/secrets/{{agent_type}}"),
    ("GET", f"{V1}/config"),
    ("PUT", f"{V1}/config"),
    ("GET", f"{V1}/config/models"),
    ("GET", f"{V1}/coordinators"),
    ("POST", f"{V1}/coordinators/{{coordinator_id}}/drain"),
    ("GET", "/agent/{instance_id}"),
]
"""The API of the contract, by hand: the table in the code must not lose one of them."""
PERMISSIONS = {
    "deployments:read", "deployments:write", "instances:read", "instances:write", "messages:write", "files:read",
    "files:write", "logs:read", "config:write", "admin",
}  # fmt: skip
OPEN = {"health", "ready", "metrics", "openapi", "docs"}
"""Health needs no key; neither do pages that say nothing about anybody."""
BY_THE_COORDINATOR_ITSELF = {"delete_instance", "patch_instance"}


def place(route: Route) -> tuple[str, str]:
    return route.method, re.sub(r":path\}", "}", route.path)


def test_every_route_of_the_contract_is_there_and_no_other() -> None:
    assert Counter(map(place, ROUTES)) == Counter(CONTRACT)


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(route.name for route in ROUTES).items() if count > 1] == []


def test_no_two_routes_take_the_same_request() -> None:
    shapes = Counter((method, re.sub(r"\{\w+\}", "{}", path)) for method, path in map(place, ROUTES))
    assert [shape for shape, count in shapes.items() if count > 1] == []


def test_every_built_route_of_the_coordinator_has_a_handler() -> None:
    built = {route.name for route in ROUTES if route.owner == "coordinator" and route.built}
    assert set(HANDLERS) == built - BY_THE_COORDINATOR_ITSELF
    assert built >= BY_THE_COORDINATOR_ITSELF


def test_the_coordinator_answers_what_belongs_to_an_instance() -> None:
    for route in ROUTES:
        assert (route.owner == "coordinator") == route.path.startswith(INSTANCE), route.name


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_route_says_who_may_and_how_it_fails(route: Route) -> None:
    assert (route.permission is None) == (route.name in OPEN)
    assert route.permission is None or route.permission in PERMISSIONS
    errors: tuple[type[PodiumError], ...] = route.errors
    assert len(set(errors)) == len(errors)
    assert set(errors) <= set(by_code().values())
    assert {"unauthorized", "forbidden"} <= {error.code for error in errors} or route.name in OPEN
    assert "{instance_id}" not in route.path or route.owner == "gateway" or "not_found" in {error.code for error in errors}


def test_reading_and_writing_need_different_permissions() -> None:
    for route in ROUTES:
        if route.permission and route.permission != "admin" and route.method != "GET":
            assert route.permission.endswith(":write"), route.name


def test_codes_are_unique() -> None:
    codes = Counter(kind.code for kind in PodiumError.__subclasses__())
    assert [code for code, count in codes.items() if count > 1] == []
    assert set(codes) == set(by_code())

"""Query and headers of a request, held against the route table before a handler sees them.

A parameter that the table does not know is refused: what is misspelt would otherwise be ignored, and another question answered.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import HTTPConnection

from podium.protocol.errors import InvalidRequest, NotAvailable
from podium.protocol.parameters import Parameter
from podium.protocol.routes import Route

Check = Callable[[HTTPConnection], None]


def unchecked(_: HTTPConnection) -> None:
    """For routes between our own parts, which are in no table."""


def checker(route: Route) -> Check:
    """What raises InvalidRequest for an unknown, repeated or wrong parameter, NotAvailable for one that is not built."""
    queries = {parameter.name: parameter for parameter in route.parameters if parameter.place == "query"}
    headers = [parameter for parameter in route.parameters if parameter.place == "header"]

    def check(request: HTTPConnection) -> None:
        if request.scope["query_string"]:
            for name in request.query_params:
                _check(_known(name, queries), request.query_params.getlist(name))
        for header in headers:
            if header.name.lower() in request.headers:
                _check(header, request.headers.getlist(header.name))

    return check


def _known(name: str, known: dict[str, Parameter]) -> Parameter:
    try:
        return known[name]
    except KeyError:
        there = f"this route knows {', '.join(known)}" if known else "this route has none"
        raise InvalidRequest(f"there is no parameter {name[:80]!r}: {there}") from None


def _check(parameter: Parameter, values: list[str]) -> None:
    if not parameter.built:
        raise NotAvailable(f"the parameter {parameter.name} is part of the contract but not built yet")
    many = parameter.type == list[str]
    if len(values) > 1 and not many:
        raise InvalidRequest(f"{parameter.name} is given {len(values)} times: give it once")
    try:
        given: Any = values if many else values[0]
        msgspec.convert(given, parameter.type, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{parameter.name} is not as it should be: {error}") from None

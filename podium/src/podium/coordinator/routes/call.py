"""One request to one instance, as handlers see it."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from podium.auth import Caller
from podium.coordinator.instance import Instance


class Call(NamedTuple):
    """The instance is loaded, the caller is checked and belongs to its tenant."""

    request: Request
    caller: Caller
    instance: Instance


Handler = Callable[[Call], Awaitable[Response]]

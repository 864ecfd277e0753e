"""What gateways and coordinators ask of discovery. Nothing here is the truth: losing all of it loses nothing durable."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol

import msgspec


class CoordinatorInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A coordinator as it announces itself. `load` and `capacity` count awake instances."""

    coordinator_id: str
    incarnation: str
    url: str
    load: int
    capacity: int
    draining: bool = False


class Owned(msgspec.Struct, kw_only=True, frozen=True):
    """Who owns an instance: `epoch` tells which word is newer, `life` is the epoch the instance was created in."""

    coordinator_id: str
    epoch: int
    life: int


class PublishedConfig(msgspec.Struct, kw_only=True, frozen=True):
    """A copy of the runtime configuration; of two, the higher `revision` is newer."""

    revision: int
    config: dict[str, Any]


class Cluster(Protocol):
    """Discovery. Every method raises ConnectionError where it cannot be reached; callers go on without."""

    async def announce(self, info: CoordinatorInfo, ttl_s: float) -> None:
        """Make a coordinator known for `ttl_s` seconds."""

    async def withdraw(self, coordinator_id: str) -> None:
        """Forget a coordinator at once."""

    async def coordinators(self) -> list[CoordinatorInfo]:
        """All that are known now, in order of their ids."""

    async def set_route(self, instance_id: str, owned: Owned) -> None:
        """Say who owns an instance; a lower epoch never replaces a higher one."""

    async def route(self, instance_id: str) -> Owned | None:
        """Who is said to own an instance."""

    async def drop_route(self, instance_id: str) -> None:
        """Forget who owns an instance."""

    async def publish_config(self, published: PublishedConfig) -> None:
        """Keep a copy and tell all who listen; a lower revision never replaces a higher one and is not told."""

    def config_updates(self) -> AsyncGenerator[PublishedConfig | None, None]:
        """The copy that is kept (None where there is none) once nothing can be missed any more, then each that is published.

        Ends with ConnectionError; who begins anew may have missed some.
        """

    async def ping(self) -> None:
        """Return where discovery answers."""

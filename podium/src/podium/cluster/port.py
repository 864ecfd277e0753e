"""What gateways and coordinators ask of discovery. Nothing here is the truth: losing all of it loses nothing durable."""

from typing import Protocol

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

    async def ping(self) -> None:
        """Return where discovery answers."""

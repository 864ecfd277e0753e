"""Which coordinator gets a new instance."""

from collections.abc import Iterable

from podium.cluster.port import CoordinatorInfo
from podium.protocol.errors import TooMany, Unavailable


def choose(coordinators: Iterable[CoordinatorInfo]) -> CoordinatorInfo:
    """The one with the smallest share of its capacity in use; TooMany where all are full, Unavailable where there is none."""
    known = [info for info in coordinators if not info.draining]
    if not known:
        raise Unavailable("no coordinator is known now: is one running, and does it reach Valkey?", retry_after_s=1)
    free = [info for info in known if info.load < info.capacity]
    if not free:
        raise TooMany(
            "every coordinator is full: put agents to sleep or add a coordinator",
            retry_after_s=5, limit=sum(info.capacity for info in known), current=sum(info.load for info in known),
        )  # fmt: skip
    return min(free, key=lambda info: (info.load / info.capacity, info.coordinator_id))

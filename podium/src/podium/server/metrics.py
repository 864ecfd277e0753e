"""What a server counts, as Prometheus reads it. Labels are bounded: routes of the table and statuses, never an instance."""

from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Histogram, ProcessCollector, generate_latest
from starlette.responses import Response

LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
UNMATCHED = "unmatched"


class Answered(NamedTuple):
    """What requests are told apart by."""

    method: str
    route: str
    status: int


class HttpMetrics:
    """One per process. `registry` is where other parts of the process add what they count."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Histogram(
            "podium_http_request_seconds", "Time from a request until its answer begins.", ("method", "route", "status"),
            registry=self.registry, buckets=LATENCIES_S,
        )  # fmt: skip
        self._known: dict[Answered, Histogram] = {}

    def observe(self, answered: Answered, seconds: float) -> None:
        """One request was answered."""
        known = self._known.get(answered)
        if known is None:
            known = self._known[answered] = self._requests.labels(answered.method, answered.route, str(answered.status))
        known.observe(seconds)

    def page(self) -> Response:
        """The text format."""
        return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

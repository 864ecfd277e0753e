"""What a coordinator counts beside its requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from podium.server.metrics import LATENCIES_S, HttpMetrics

SYNCS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


class CoordinatorMetrics:
    """One per coordinator. Gauges are set when somebody asks."""

    def __init__(self) -> None:
        self.http = HttpMetrics()
        registry: CollectorRegistry = self.http.registry
        self.attempts = Counter(
            "podium_attempts", "Attempts at messages, by how they ended: complete, stopped, or how they failed.", ("outcome",),
            registry=registry,
        )  # fmt: skip
        self.attempt_seconds = Histogram(
            "podium_attempt_seconds", "From handing a message over until its attempt has ended.", registry=registry,
            buckets=LATENCIES_S,
        )  # fmt: skip
        self.starts = Counter(
            "podium_starts",
            "Starts of agents, also after a death: ready or failed.",
            ("outcome",),
            registry=registry,
        )
        self.start_seconds = Histogram(
            "podium_start_seconds", "From the wish to start an agent until it is ready.", registry=registry, buckets=LATENCIES_S
        )
        self.deaths = Counter("podium_agent_deaths", "Processes of agents that ended unasked.", registry=registry)
        self.journal_sync_seconds = Histogram(
            "podium_journal_sync_seconds", "One fsync of the journal, which all commits of that moment share.",
            registry=registry, buckets=SYNCS_S,
        )  # fmt: skip
        self.awake = Gauge("podium_awake_instances", "Instances that have a process or want one.", registry=registry)
        self.loaded = Gauge("podium_loaded_instances", "Instances whose files are open.", registry=registry)
        self.readers = Gauge("podium_stream_readers", "Open event streams.", registry=registry)
        self.queued = Gauge("podium_inbox_entries", "Entries that wait in the inboxes of awake instances.", registry=registry)

"""What the service counts, as Prometheus reads it. Labels are bounded: never ids, numbers or digits."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from recorder_service import __version__
from recorder_service.http.body import DownloadOutcome

_COMMIT_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """The service's metrics in a registry of their own.

    Attributes:
        registry: What the metrics port shows.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.registry = CollectorRegistry()
        self._rpcs = Counter(
            "recorder_grpc_requests",
            "RPCs ended, by method and status code.",
            ["method", "code"],
            registry=self.registry,
        )
        self._download_bytes = Counter(
            "recorder_download_bytes", "Bytes of files sent over HTTP.", registry=self.registry
        )
        self._downloads = Counter("recorder_downloads", "Downloads, by outcome.", ["outcome"], registry=self.registry)
        self._live = Gauge("recorder_live_recordings", "Recordings without their last state.", registry=self.registry)
        self._journal_bytes = Gauge("recorder_journal_bytes", "Length of the journal.", registry=self.registry)
        self._background = Gauge(
            "recorder_background_tasks",
            "Tasks that no RPC owns: finishing, telling, beginning.",
            registry=self.registry,
        )
        self._commits = Histogram(
            "recorder_journal_commit_seconds",
            "From receiving a message until it is durable; of each group the message that waited longest.",
            buckets=_COMMIT_BUCKETS_S,
            registry=self.registry,
        )
        build = Gauge("recorder_build_info", "1, with the version as label.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)

    def count_rpc(self, method: str, code: str) -> None:
        """Count an RPC that ended."""
        self._rpcs.labels(method.removeprefix("/"), code).inc()

    def sent(self, size_bytes: int) -> None:
        """Count bytes of a download."""
        self._download_bytes.inc(size_bytes)

    def ended(self, outcome: DownloadOutcome) -> None:
        """Count a download that ended or was refused."""
        self._downloads.labels(outcome.value).inc()

    def committed(self, elapsed_s: float) -> None:
        """Note how long a message took to become durable."""
        self._commits.observe(elapsed_s)

    def watch(
        self,
        live_recordings: Callable[[], int],
        journal_bytes: Callable[[], int],
        background_tasks: Callable[[], int],
    ) -> None:
        """Ask these whenever the metrics are read."""
        self._live.set_function(live_recordings)
        self._background.set_function(background_tasks)
        self._journal_bytes.set_function(journal_bytes)

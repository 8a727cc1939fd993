"""All metrics of one node, in a registry of their own."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge, Metric, ProcessCollector

from recorder_service.metrics.audio import AudioMetrics
from recorder_service.metrics.disk import DiskMetrics
from recorder_service.metrics.downloads import DownloadMetrics
from recorder_service.metrics.events import EventMetrics
from recorder_service.metrics.journal import JournalMetrics
from recorder_service.metrics.leases import LeaseMetrics
from recorder_service.metrics.process import ProcessMetrics
from recorder_service.metrics.readiness import ReadinessMetrics
from recorder_service.metrics.recordings import RecordingMetrics
from recorder_service.metrics.requests import RequestMetrics
from recorder_service.metrics.storage import StoreMetrics
from recorder_service.metrics.webhooks import WebhookMetrics


class _Registry(CollectorRegistry):
    """Leaves out when each series was created: no query needs it, and it would double what is kept."""

    def collect(self) -> Iterable[Metric]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class Metrics:
    """The metrics by subject.

    Attributes:
        registry: What the metrics port shows.
    """

    def __init__(self) -> None:
        """Start at zero; every series that can be foreseen is there from the beginning, so that rates see its first."""
        registry = self.registry = _Registry()
        self.audio = AudioMetrics(registry)
        self.recordings = RecordingMetrics(registry, self.audio)
        self.journal = JournalMetrics(registry)
        self.store = StoreMetrics(registry)
        self.disk = DiskMetrics(registry)
        self.webhooks = WebhookMetrics(registry)
        self.events = EventMetrics(registry)
        self.requests = RequestMetrics(registry)
        self.downloads = DownloadMetrics(registry)
        self.leases = LeaseMetrics(registry)
        self.readiness = ReadinessMetrics(registry)
        self.process = ProcessMetrics(registry)
        self._background = Gauge(
            "recorder_background_tasks", "Tasks that no RPC owns: finishing, telling, beginning.", registry=registry
        )
        # CPU time, memory and descriptors, under the names every exporter gives them.
        ProcessCollector(registry=registry)

    def watch_background(self, tasks: Callable[[], int]) -> None:
        """Ask for the number of tasks whenever the metrics are read."""
        self._background.set_function(tasks)

"""Downloads over HTTP."""

from prometheus_client import CollectorRegistry, Counter

from recorder_service.http.body import DownloadOutcome


class DownloadMetrics:
    """Counts downloads and their bytes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._bytes = Counter("recorder_download_bytes", "Bytes of files sent over HTTP.", registry=registry)
        self._ended = Counter("recorder_downloads", "Downloads, by outcome.", ["outcome"], registry=registry)
        for outcome in DownloadOutcome:
            self._ended.labels(outcome.value)

    def sent(self, size_bytes: int) -> None:
        """Count bytes of a download."""
        self._bytes.inc(size_bytes)

    def ended(self, outcome: DownloadOutcome) -> None:
        """Count a download that ended or was refused."""
        self._ended.labels(outcome.value).inc()

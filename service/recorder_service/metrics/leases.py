"""The node's lease in the catalog: with it, recordings are its own."""

from prometheus_client import CollectorRegistry, Counter


class LeaseMetrics:
    """Counts lost leases."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._lost = Counter(
            "recorder_node_lease_lost",
            "Times the node lost its lease in the catalog: another node may have taken its recordings over.",
            registry=registry,
        )

    def lost(self) -> None:
        """Count a lease that was lost."""
        self._lost.inc()

"""RPCs: how they ended, and whom there was no room for."""

from prometheus_client import CollectorRegistry, Counter

from recorder_service.errors import Reason

# Why a call may be turned away though nothing is wrong with it.
_REFUSALS = (
    Reason.TOO_MANY_RECORDINGS,
    Reason.TOO_MANY_SUBSCRIBERS,
    Reason.DISK_FULL,
    Reason.DRAINING,
    Reason.OVERLOADED,
    Reason.JOURNAL_FAILED,
    Reason.STORAGE_FAILED,
    Reason.CATALOG_FAILED,
)


class RequestMetrics:
    """Counts RPCs. The methods are those of the contract: what else is called never comes here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._ended = Counter(
            "recorder_grpc_requests", "RPCs ended, by method and status code.", ["method", "code"], registry=registry
        )
        self._refusals = Counter(
            "recorder_admission_refusals",
            "RPCs refused for want of room or of a part of the service, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in _REFUSALS:
            self._refusals.labels(reason.value)

    def ended(self, method: str, code: str, reason: Reason | None) -> None:
        """Count an RPC that ended, and why if it was refused."""
        self._ended.labels(method.removeprefix("/"), code).inc()
        if reason in _REFUSALS:
            self._refusals.labels(reason.value).inc()

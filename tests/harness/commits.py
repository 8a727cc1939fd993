"""What a server says of how long messages took to become durable."""

import re
from dataclasses import dataclass

from tests.harness.files import fetch

_BUCKET = re.compile(r'^recorder_ack_latency_seconds_bucket\{le="([^"]+)"[^}]*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Commits:
    """The histogram `recorder_ack_latency_seconds`: how many took at most so long, by the bound in s."""

    counts: dict[float, float]

    @classmethod
    def of(cls, metrics_port: int) -> "Commits":
        """Read it."""
        text = fetch(f"http://127.0.0.1:{metrics_port}/metrics").body.decode()
        return cls({float(bound): float(count) for bound, count in _BUCKET.findall(text)})

    def since(self, earlier: "Commits") -> "Commits":
        """Return what was added since."""
        return Commits({bound: count - earlier.counts[bound] for bound, count in self.counts.items()})

    @property
    def total(self) -> float:
        """How many in all."""
        return max(self.counts.values())

    def bound_s(self, share: float) -> float:
        """Return the least bound that so large a share kept."""
        return next(bound for bound, count in sorted(self.counts.items()) if count >= share * self.total)

    def quantile_s(self, share: float) -> float:
        """Estimate a quantile as Prometheus does: evenly spread within its bucket; in the last one its lower bound."""
        lower, before = 0.0, 0.0
        for bound, count in sorted(self.counts.items()):
            if count >= share * self.total and count > before:
                if bound == float("inf"):
                    return lower
                return lower + (bound - lower) * (share * self.total - before) / (count - before)
            lower, before = bound, count
        return lower

    def share_within(self, bound_s: float) -> float:
        """Return the share that took at most so long; the bound must be one of the histogram's."""
        return self.counts[bound_s] / self.total if self.total else 0.0

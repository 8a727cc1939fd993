"""Counters that follow a total somebody else keeps."""

from prometheus_client import Counter


class Growth:
    """Adds to a counter what a total grew by since it was looked at last."""

    def __init__(self, counter: Counter) -> None:
        """Begin with a total of 0."""
        self._counter = counter
        self._seen = 0.0

    def reach(self, total: float) -> None:
        """Add what is new; a total that shrank adds nothing."""
        if total > self._seen:
            self._counter.inc(total - self._seen)
            self._seen = total

"""Floors that several scenarios of a run share are measured once."""

import tempfile
from pathlib import Path

from tests.bench import floors
from tests.bench.load import Load


class FloorShelf:
    """Measures each floor when it is first asked for."""

    def __init__(self) -> None:
        """Begin with none."""
        self._receipts: dict[tuple[int, int, int], floors.Receipt] = {}
        self._encoded: dict[bool, float] = {}

    def receive(self, load: Load) -> floors.Receipt:
        """Return what receiving these messages takes; what is recorded of them does not matter."""
        key = (load.calls, load.form.message_ms, load.form.sample_rate_hz)
        if key not in self._receipts:
            self._receipts[key] = floors.receive(load, tuned=True)
        return self._receipts[key]

    def encode(self, *, split: bool) -> float:
        """Return what LAME takes, CPU seconds per call-hour."""
        if split not in self._encoded:
            self._encoded[split] = floors.encode(split=split)
        return self._encoded[split]

    def sync(self, groups_per_s: float, bytes_per_s: float) -> float:
        """Return what writing and syncing take, CPU seconds a second."""
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            return floors.sync(groups_per_s, bytes_per_s, Path(directory))

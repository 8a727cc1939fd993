"""The file store: how long its operations take and how they fail."""

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram

from recorder_service.errors import Reason, RecorderError

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OPERATIONS = ("check", "store", "verify", "open", "delete")
_FORESEEN = (Reason.STORAGE_FAILED, Reason.DAMAGED)


class FileStore(Protocol):
    """Keeps finished files."""

    async def check(self) -> None:
        """Make sure that files can be kept."""

    async def store(self, key: str, source: Path, *, size_bytes: int, sha256: str) -> None:
        """Keep a file."""

    async def verify(self, key: str, *, size_bytes: int, sha256: str) -> None:
        """Make sure that what is kept is what was meant."""

    async def open(self, key: str, *, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Give a part of a file."""

    async def delete(self, key: str) -> None:
        """Remove a file."""

    async def aclose(self) -> None:
        """Let go of threads and connections."""


class StoreMetrics:
    """Measures the operations of a store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._seconds = Histogram(
            "recorder_store_operation_seconds",
            "Operations of the file store, failed ones included; `open` up to its answer.",
            ["operation"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._failures = Counter(
            "recorder_store_failures",
            "Operations of the file store that failed, by operation and reason.",
            ["operation", "reason"],
            registry=registry,
        )
        self._stored_bytes = Counter("recorder_stored_bytes", "Bytes of files stored.", registry=registry)
        for operation in _OPERATIONS:
            self._seconds.labels(operation)
            for reason in _FORESEEN:
                self._failures.labels(operation, reason.value)

    def stored(self, size_bytes: int) -> None:
        """Count a file that was stored."""
        self._stored_bytes.inc(size_bytes)

    @contextmanager
    def measured(self, operation: str) -> Iterator[None]:
        """Measure what runs inside; a cancelled operation says nothing about the store."""
        began_s = time.perf_counter()
        try:
            yield
        except Exception as error:
            reason = error.reason if isinstance(error, RecorderError) else Reason.INTERNAL
            self._failures.labels(operation, reason.value).inc()
            self._seconds.labels(operation).observe(time.perf_counter() - began_s)
            raise
        self._seconds.labels(operation).observe(time.perf_counter() - began_s)


def _untraced(_operation: str) -> AbstractContextManager[object]:
    return nullcontext()


class MeteredStore:
    """A store with a clock on it."""

    def __init__(
        self,
        store: FileStore,
        metrics: StoreMetrics,
        traced: Callable[[str], AbstractContextManager[object]] = _untraced,
    ) -> None:
        """Measure `store`; `traced` makes what every operation runs in, by its name."""
        self._store = store
        self._metrics = metrics
        self._traced = traced

    async def check(self) -> None:
        """As the store does."""
        with self._traced("check"), self._metrics.measured("check"):
            await self._store.check()

    async def store(self, key: str, source: Path, *, size_bytes: int, sha256: str) -> None:
        """As the store does."""
        with self._traced("store"), self._metrics.measured("store"):
            await self._store.store(key, source, size_bytes=size_bytes, sha256=sha256)
        self._metrics.stored(size_bytes)

    async def verify(self, key: str, *, size_bytes: int, sha256: str) -> None:
        """As the store does."""
        with self._traced("verify"), self._metrics.measured("verify"):
            await self._store.verify(key, size_bytes=size_bytes, sha256=sha256)

    async def open(self, key: str, *, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """As the store does."""
        with self._traced("open"), self._metrics.measured("open"):
            return await self._store.open(key, offset=offset, length=length)

    async def delete(self, key: str) -> None:
        """As the store does."""
        with self._traced("delete"), self._metrics.measured("delete"):
            await self._store.delete(key)

    async def aclose(self) -> None:
        """As the store does."""
        await self._store.aclose()

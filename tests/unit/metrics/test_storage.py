"""A store with a clock on it."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from recorder_service.errors import Damaged, Reason, Unavailable
from recorder_service.metrics.storage import MeteredStore, StoreMetrics
from recorder_service.storage.directory import DirectoryStore

SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc", FIPS 180-2, B.1


def made(root: Path) -> tuple[MeteredStore, CollectorRegistry]:
    registry = CollectorRegistry()
    return MeteredStore(DirectoryStore(root), StoreMetrics(registry)), registry


async def _read(body: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([chunk async for chunk in body])


async def test_every_operation_is_timed_and_its_result_comes_through(tmp_path: Path) -> None:
    """Against a real directory, from the check to the removal."""
    store, registry = made(tmp_path / "files")
    (tmp_path / "source").write_bytes(b"abc")
    await store.check()
    await store.store("a/b.mp3", tmp_path / "source", size_bytes=3, sha256=SHA256)
    await store.verify("a/b.mp3", size_bytes=3, sha256=SHA256)
    assert await _read(await store.open("a/b.mp3", offset=0, length=3)) == b"abc"
    await store.delete("a/b.mp3")
    await store.aclose()
    for operation in ("check", "store", "verify", "open", "delete"):
        labels = {"operation": operation}
        assert registry.get_sample_value("recorder_store_operation_seconds_count", labels) == 1
    assert registry.get_sample_value("recorder_stored_bytes_total") == 3


async def test_failures_count_by_reason_and_are_raised(tmp_path: Path) -> None:
    """They are timed too: a store that fails slowly is to be seen."""
    store, registry = made(tmp_path / "files")
    await store.check()
    with pytest.raises(Damaged):
        await store.verify("a/b.mp3", size_bytes=3, sha256=SHA256)
    await store.aclose()
    labels = {"operation": "verify", "reason": "DAMAGED"}
    assert registry.get_sample_value("recorder_store_failures_total", labels) == 1
    assert registry.get_sample_value("recorder_store_operation_seconds_count", {"operation": "verify"}) == 1


async def test_cancelled_operation_says_nothing_about_the_store() -> None:
    """It neither failed nor took that long."""
    registry = CollectorRegistry()
    metrics = StoreMetrics(registry)
    with pytest.raises(asyncio.CancelledError), metrics.measured("store"):
        raise asyncio.CancelledError
    with pytest.raises(Unavailable), metrics.measured("open"):
        raise Unavailable(Reason.STORAGE_FAILED, "away")
    assert registry.get_sample_value("recorder_store_operation_seconds_count", {"operation": "store"}) == 0
    labels = {"operation": "open", "reason": "STORAGE_FAILED"}
    assert registry.get_sample_value("recorder_store_failures_total", labels) == 1

"""What the metrics say of a journal, asked of a real one."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from prometheus_client import CollectorRegistry
from tests.unit.journal.building import running

from recorder_service.journal.report import Damage, RecoveredRecording
from recorder_service.metrics.journal import JournalMetrics


async def test_journal_that_holds_a_recording_shows_its_size_and_age(tmp_path: Path) -> None:
    """Until the recording is released."""
    registry = CollectorRegistry()
    metrics, recording = JournalMetrics(registry), uuid4()
    async with running(tmp_path / "j") as journal:
        await journal.wait_durable(journal.append(recording, 0, bytes(10_000)), 5)
        await asyncio.sleep(0.05)
        metrics.look(journal)
        assert (registry.get_sample_value("recorder_journal_bytes") or 0) > 10_000
        assert (registry.get_sample_value("recorder_journal_written_bytes_total") or 0) > 10_000
        assert (registry.get_sample_value("recorder_journal_oldest_unreleased_age_seconds") or 0) >= 0.05
        await journal.wait_durable(journal.release(recording), 5)
        metrics.look(journal)
    assert registry.get_sample_value("recorder_journal_oldest_unreleased_age_seconds") == 0
    assert registry.get_sample_value("recorder_journal_queued_bytes") == 0


async def test_what_recovery_found_stays_to_be_seen(tmp_path: Path) -> None:
    """Damage and loss are figures of the start."""
    registry = CollectorRegistry()
    async with running(tmp_path / "j") as journal:
        found = RecoveredRecording(10, 13, 3, tail_in_doubt=False, since=datetime.now(UTC) - timedelta(hours=1))
        damage = Damage(tmp_path / "x", 100, 50, "crc", 4, 6, None)
        report = replace(journal.recovered, recordings={uuid4(): found, uuid4(): found}, damage=(damage,))
        JournalMetrics(registry).recovered(report)
    assert registry.get_sample_value("recorder_recovery_lost_entries") == 6
    assert registry.get_sample_value("recorder_recovery_damaged_ranges") == 1
    assert registry.get_sample_value("recorder_recovery_recordings") == 2

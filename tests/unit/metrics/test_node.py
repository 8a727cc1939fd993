"""All metrics together: their names, their labels, their number, and what reading them costs."""

import random
import re
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import Metric, generate_latest
from tests.unit.sessions.recordings import CALLER, a_recording
from tests.unit.webhooks.webhook_values import new_delivery

from recorder.v1 import recorder_service_pb2, recording_service_pb2
from recorder_service.domain.delivery import DeliveryState
from recorder_service.domain.event import EventType
from recorder_service.domain.recording import RecordingKind, StopReason
from recorder_service.errors import Overloaded, Reason
from recorder_service.http.body import DownloadOutcome
from recorder_service.metrics.node import Metrics

CALLS = 10_000
METHODS = [
    f"/{service.full_name}/{method.name}"
    for module in (recorder_service_pb2, recording_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
CODES = ["OK", "CANCELLED", "INTERNAL", "RESOURCE_EXHAUSTED", "NOT_FOUND", "UNAVAILABLE"]
FAMILIES = list(Metrics().registry.collect())
OWN = [family for family in FAMILIES if not family.name.startswith("process_")]


class Line:
    """A live recording."""

    def __init__(self) -> None:
        self.recording = a_recording(legs=(replace(CALLER, leg_id=str(uuid.uuid4())),))


def work(metrics: Metrics, calls: int) -> None:
    """What so many calls count, one after the other: every outcome, reason, status and code there is."""
    chance = random.Random(1)
    ends = [EventType.RECORDING_COMPLETED, EventType.RECORDING_EMPTY, EventType.RECORDING_FAILED]
    for _ in range(calls):
        recording = a_recording(
            kind=chance.choice(list(RecordingKind)),
            stop_reason=chance.choice([None, *StopReason]),
            conversation_id=str(uuid.uuid4()),
            legs=(replace(CALLER, leg_id=str(uuid.uuid4()), frames=8000, late_frames=80),),
        )
        metrics.recordings.started(replace(recording, legs=(CALLER,)))
        metrics.recordings.ending(recording.recording_id)
        metrics.recordings.told(recording, chance.choice(ends))
        metrics.requests.ended(chance.choice(METHODS), chance.choice(CODES), chance.choice([None, *Reason]))
        metrics.journal.committed(chance.random())
        metrics.journal.synced(chance.random() / 10)
        metrics.downloads.ended(chance.choice(list(DownloadOutcome)))
        metrics.events.sent(chance.random())
        delivery = new_delivery(f"https://{uuid.uuid4()}.example/{chance.random()}?token=secret")
        after = replace(delivery, state=chance.choice(list(DeliveryState)), last_status=chance.randrange(1000))
        metrics.webhooks.tried(after, chance.random())
        refusal = Overloaded(chance.choice(list(Reason)), "refused")
        with pytest.raises(Overloaded), metrics.store.measured(chance.choice(["store", "verify", "open", "delete"])):
            raise refusal


def series(metrics: Metrics) -> set[str]:
    """Every series by name and labels."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_ten_thousand_calls_make_no_series_that_a_thousand_do_not_and_a_scrape_stays_quick() -> None:
    """Reading takes under 50 ms (best of five): a thousand live recordings are counted while it is read."""
    metrics = Metrics()
    lines = [Line() for _ in range(1000)]
    metrics.recordings.watch(lambda: lines)
    work(metrics, CALLS // 5)
    before = series(metrics)
    work(metrics, CALLS - CALLS // 5)
    after = series(metrics)
    taken_s = []
    for _ in range(5):
        began_s = time.perf_counter()
        generate_latest(metrics.registry)
        taken_s.append(time.perf_counter() - began_s)
    assert after == before
    assert len(after) < 1500
    assert not [line for line in after if re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|https?:|secret|CON-1", line)]
    assert min(taken_s) < 0.05


def test_nothing_of_an_ended_recording_is_kept() -> None:
    """Not even in memory."""
    metrics = Metrics()
    work(metrics, 100)
    assert not metrics.recordings._ending_s
    assert not metrics.audio._seen


@pytest.mark.parametrize("family", OWN, ids=lambda family: str(family.name))
def test_names_and_units_follow_the_conventions(family: Metric) -> None:
    """A prefix, base units, `_total` for counters alone, and words that say what it is. Source: Prometheus' naming."""
    assert re.fullmatch(r"recorder(_[a-z]+)+", family.name)
    assert not re.search(r"_(ms|milliseconds|minutes|hours|mib|kb|percent|count|sum|bucket|total)$", family.name)
    assert len(family.documentation) > 10
    assert family.documentation.endswith(".")
    if family.type == "histogram":
        assert family.name.endswith(("_seconds", "_bytes"))


def test_labels_are_few_and_known() -> None:
    """A label that is not in this list is a new one: can it hold something unbounded?"""
    used = {label for family in FAMILIES for sample in family.samples for label in sample.labels}
    assert used <= {
        "kind",
        "outcome",
        "reason",
        "method",
        "code",
        "status",
        "operation",
        "probe",
        "version",
        "python",
        "le",
    }


def test_buckets_fit_the_promises() -> None:
    """The bounds that goals, alerts and proofs ask for are bounds of the histograms."""
    bounds = {
        family.name: {float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels}
        for family in FAMILIES
    }
    assert {0.005, 0.05, 0.25, 0.5, 10.0} <= bounds["recorder_ack_latency_seconds"]
    assert {0.025, 1.0, 60.0} <= bounds["recorder_hangup_to_available_seconds"]
    assert min(bounds["recorder_ack_latency_seconds"]) == 0.005


def test_creation_times_are_left_out() -> None:
    """They would double what Prometheus keeps."""
    assert b"_created" not in generate_latest(Metrics().registry)


def test_hang_up_to_available_counts_available_recordings_of_this_run() -> None:
    """Not empty ones, and not those that waited for a restart."""
    metrics = Metrics()
    ended = a_recording(stop_reason=StopReason.HANGUP, end_time=datetime.now(UTC))
    metrics.recordings.told(ended, EventType.RECORDING_COMPLETED)
    metrics.recordings.ending(ended.recording_id)
    metrics.recordings.told(ended, EventType.RECORDING_EMPTY)
    assert metrics.registry.get_sample_value("recorder_hangup_to_available_seconds_count") == 0
    metrics.recordings.ending(ended.recording_id)
    metrics.recordings.told(ended, EventType.RECORDING_COMPLETED)
    assert metrics.registry.get_sample_value("recorder_hangup_to_available_seconds_count") == 1
    labels = {"kind": "call", "outcome": "available", "reason": "hangup"}
    assert metrics.registry.get_sample_value("recorder_recordings_total", labels) == 2

"""The generator against a real server and a bare receiver, in seconds."""

import json
import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.bench import floors, generator, live_run
from tests.bench.load import Load
from tests.bench.messages import Form
from tests.bench.traffic import Traffic
from tests.harness.processes import Watch
from tests.harness.speech import require_speech

SHORT = Load(Form(100, 2.0), 3, 100.0)


@pytest.fixture(scope="module", autouse=True)
def built_generator() -> None:
    """Skip loudly where it cannot be built; in CI that is an error."""
    require_speech()
    if shutil.which("go") is None and not os.environ.get("CI"):
        pytest.skip("the load generator needs Go, which is missing here")
    generator.build()


@pytest.mark.slow
def test_three_calls_are_recorded_acknowledged_and_told() -> None:
    """Every message is acknowledged, every file finished, every webhook sent, and the cost is above nothing."""
    run = live_run.record(replace(SHORT, form=Form(100, 4.0)), webhooks=True)
    # Other work may make the generator late, and the server, and take the host away: that is not what this is about.
    elsewhere = ("late", "behind", "the host took")
    assert [fault for fault in run.faults if not any(part in fault for part in elsewhere)] == []
    figures = run.figures
    assert figures["calls"] == 3
    assert 0 < figures["available_p50_ms"] <= figures["available_p99_ms"]
    assert figures["webhook_p50_ms"] > 0
    assert 0 < figures["ack_p50_ms"] <= 10_000
    assert figures["durable_p99_ms"] > 0
    assert figures["groups_per_s"] > 1


def sent(server: AbstractContextManager[tuple[int, int]]) -> Traffic:
    """Send a load to a floor: all of it goes out, no call fails, and it takes processor time."""
    with server as (pid, port), Watch(pid) as watch:
        traffic = floors.send(SHORT, port)
    assert traffic.errors == []
    assert traffic.sent == SHORT.calls * SHORT.form.message_count
    assert watch.usage.samples[-1].cpu_s > 0
    return traffic


@pytest.mark.slow
@pytest.mark.parametrize("tuned", [True, False])
def test_bare_receiver_takes_the_same_messages(*, tuned: bool) -> None:
    """Nothing answers, and the calls end in order."""
    sent(floors.receiver(tuned=tuned))


@pytest.mark.slow
@pytest.mark.parametrize("wav", [True, False])
def test_least_recorder_acknowledges_and_renders_all_of_it(tmp_path: Path, *, wav: bool) -> None:
    """What it costs would say nothing if it did less than its share; it tells how long each group took."""
    traffic = sent(floors.least_recorder(tmp_path / "waits.json", wav=wav))
    assert traffic.acknowledged == traffic.sent
    waits_s = json.loads((tmp_path / "waits.json").read_text())
    assert len(waits_s) > 10
    assert all(0 < wait_s < 10 for wait_s in waits_s)

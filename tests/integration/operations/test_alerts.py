"""Every alert on a real promtool: with one story it fires, with the other it does not."""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.harness.prometheus import require_prometheus

ROOT = Path(__file__).parents[3]
FILES = ROOT / "helm" / "recorder" / "files"
ALERTS, RECORDINGS = FILES / "alerts.yaml", FILES / "recording-rules.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
NODE = 'instance="node:9464"'
# Where the alert leads who is woken at night, with no checkout at hand.
PROJECT = "https://github.com/recorder-project/recorder/blob/main/"
_AVAILABLE = "recorder_hangup_to_available_seconds"
_STORE = 'operation="store"'

Story = Mapping[str, str]


def available(late_in_1000: int, steps: int) -> Story:
    """A thousand recordings a step, so many of them late."""
    return {
        f'{_AVAILABLE}_bucket{{{NODE}, le="1.0"}}': f"0+{1000 - late_in_1000}x{steps}",
        f'{_AVAILABLE}_bucket{{{NODE}, le="+Inf"}}': f"0+1000x{steps}",
        f"{_AVAILABLE}_count{{{NODE}}}": f"0+1000x{steps}",
    }


def latencies(histogram: str, quick: int, slow: int) -> Story:
    """A histogram that grows each minute by so many quick (5 ms) and slow (1 s) ones."""
    return {
        f'{histogram}_bucket{{{NODE}, le="0.005"}}': f"0+{quick}x60",
        f'{histogram}_bucket{{{NODE}, le="0.5"}}': f"0+{quick}x60",
        f'{histogram}_bucket{{{NODE}, le="1.0"}}': f"0+{quick + slow}x60",
        f'{histogram}_bucket{{{NODE}, le="+Inf"}}': f"0+{quick + slow}x60",
    }


def lags(*percent: int) -> Story:
    """An event loop that is late by at most 2.5, 10, 25 and 50 ms in so many percent of 240 looks a minute."""
    bounds = ("0.0025", "0.01", "0.025", "0.05", "+Inf")
    counts = [240 * part // 100 for part in (*percent, 100)]
    name = "recorder_event_loop_lag_seconds_bucket"
    return {f'{name}{{{NODE}, le="{bound}"}}': f"0+{count}x60" for bound, count in zip(bounds, counts, strict=True)}


def started(minutes_ago: int, **gauges: int) -> Story:
    """A node that started so long before minute 30, with what its start found."""
    moment = 30 * 60 - minutes_ago * 60
    return {
        f"process_start_time_seconds{{{NODE}}}": f"{moment}x60",
        **{f"{name}{{{NODE}}}": f"{value}x60" for name, value in gauges.items()},
    }


@dataclass(frozen=True, slots=True)
class Case:
    """Two stories for one alert, in promtool's notation.

    Attributes:
        fires: Series with which it fires at `at_min`.
        quiet: Series with which it does not, though something is there to be seen.
        labels: Of the alert that fires, beside its name and its severity.
        step_min: From one sample, and one look at the rules, to the next.
    """

    fires: Story
    quiet: Story
    labels: Mapping[str, str] = field(default_factory=lambda: {"instance": "node:9464"})
    at_min: int = 30
    step_min: int = 1


CASES: dict[str, Case] = {
    "RecorderDown": Case({"up": "1x60"}, {f"recorder_build_info{{{NODE}}}": "1x60"}, labels={}),
    "RecorderAcknowledgedLoss": Case(
        started(10, recorder_recovery_lost_entries=3), started(10, recorder_recovery_lost_entries=0)
    ),
    "RecorderRecoveryDamage": Case(
        started(10, recorder_recovery_damaged_ranges=1), started(2 * 1440, recorder_recovery_damaged_ranges=1)
    ),
    "RecorderRecordingsFailing": Case(
        {f'recorder_recordings_total{{{NODE}, outcome="failed"}}': "0x25 1x35"},
        {f'recorder_recordings_total{{{NODE}, outcome="empty"}}': "0x25 1x35"},
    ),
    "RecorderDiskHoursLeft": Case(
        {f"recorder_disk_left_seconds{{{NODE}}}": "10000x60"},
        # A dip that is over within 5 minutes wakes nobody.
        {f"recorder_disk_left_seconds{{{NODE}}}": "2592000x27 10000x2 2592000x60"},
    ),
    "RecorderStoreFailing": Case(
        {
            f"recorder_store_failures_total{{{NODE}, {_STORE}}}": "0+9x60",
            f"recorder_store_operation_seconds_count{{{NODE}, {_STORE}}}": "0+10x60",
        },
        {
            f"recorder_store_failures_total{{{NODE}, {_STORE}}}": "0+1x60",
            f"recorder_store_operation_seconds_count{{{NODE}, {_STORE}}}": "0+10x60",
        },
    ),
    "RecorderSpoolAgeing": Case(
        {f"recorder_spool_oldest_age_seconds{{{NODE}}}": "0+60x60"},
        {f"recorder_spool_oldest_age_seconds{{{NODE}}}": "600x60"},
    ),
    "RecorderNodeLeaseLost": Case(
        {f"recorder_node_lease_lost_total{{{NODE}}}": "0x25 1x35"},
        {f"recorder_node_lease_lost_total{{{NODE}}}": "1x60"},
    ),
    "RecorderAckLatencyHigh": Case(
        latencies("recorder_ack_latency_seconds", 90, 10), latencies("recorder_ack_latency_seconds", 1000, 1)
    ),
    "RecorderRefusingCalls": Case(
        {f'recorder_admission_refusals_total{{{NODE}, reason="DISK_FULL"}}': "0+1x60"},
        {f'recorder_admission_refusals_total{{{NODE}, reason="DRAINING"}}': "0+1x60"},
        labels={"instance": "node:9464", "reason": "DISK_FULL"},
    ),
    "RecorderWebhookBacklog": Case(
        {
            f"recorder_webhook_pending_deliveries{{{NODE}}}": "2000x60",
            f"recorder_webhook_oldest_undelivered_age_seconds{{{NODE}}}": "3600x60",
        },
        # One dead endpoint: old, but few.
        {
            f"recorder_webhook_pending_deliveries{{{NODE}}}": "20x60",
            f"recorder_webhook_oldest_undelivered_age_seconds{{{NODE}}}": "90000x60",
        },
        labels={},
    ),
    # As measured at 300 calls of 100 ms on two cores, which are acknowledged seconds late, and at 200, which are not.
    "RecorderEventLoopLagging": Case(lags(10, 50, 90, 100), lags(60, 100, 100, 100)),
    "RecorderAvailableLateFast": Case(available(200, 120), available(100, 120), labels={}, at_min=90),
    "RecorderAvailableLateSlow": Case(available(80, 480), available(50, 480), labels={}, at_min=420),
    "RecorderAvailableLateTrend": Case(available(20, 160), available(5, 160), labels={}, at_min=4680, step_min=30),
}


def test_every_alert_has_its_two_stories() -> None:
    """None is told of that does not exist, and none is left out."""
    assert set(CASES) == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("name", CASES)
def test_alert_fires_when_it_should_and_only_then(name: str, tmp_path: Path) -> None:
    """Its severity and its labels are what the route of an alert manager sees."""
    require_prometheus()
    case = CASES[name]
    rule = next(rule for rule in RULES if rule["alert"] == name)
    labels = {"alertname": name, "alertstate": "firing", **rule["labels"], **case.labels}
    stories = [_story(name, case, case.fires, labels), _story(name, case, case.quiet, None)]
    path = tmp_path / "stories.json"
    rules = {
        "rule_files": [str(RECORDINGS), str(ALERTS)],
        # Without it promtool takes the groups in any order, and an alert may look at a level before it is recorded.
        "group_eval_order": [_group(RECORDINGS), _group(ALERTS)],
        "evaluation_interval": f"{case.step_min}m",
        "tests": stories,
    }
    path.write_text(json.dumps(rules))
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """In itself, and at greater length under its own heading of docs/operations.md."""
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "action", "runbook_url"}
    page, _, anchor = notes["runbook_url"].removeprefix(PROJECT).partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {heading.strip("`").lower() for heading in headings}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def _group(rules: Path) -> str:
    """The name of the one group of a file of rules."""
    (group,) = yaml.safe_load(rules.read_text())["groups"]
    return str(group["name"])


def _story(name: str, case: Case, series: Story, labels: Mapping[str, str] | None) -> dict[str, Any]:
    """One test of promtool: which alerts of this name fire at that minute."""
    samples = [] if labels is None else [{"labels": _selector(labels), "value": 1}]
    return {
        "interval": f"{case.step_min}m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{name}", alertstate="firing"}}',
                "eval_time": f"{case.at_min}m",
                "exp_samples": samples,
            }
        ],
    }


def _selector(labels: Mapping[str, str]) -> str:
    return f"ALERTS{{{', '.join(f'{key}={json.dumps(value)}' for key, value in labels.items())}}}"

"""The dashboards and alerts on a real Prometheus that scrapes a real Recorder with calls on it."""

import asyncio
import json
import math
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import yaml
from tests.harness import prometheus
from tests.harness.client import Client, Tenant, leg
from tests.harness.files import download
from tests.harness.receiver import Receiver
from tests.harness.server import Server

from recorder.v1 import event_pb2, recording_pb2

FILES = Path(__file__).parents[3] / "helm" / "recorder" / "files"
RULES = (FILES / "recording-rules.yaml", FILES / "alerts.yaml")
BOARDS = sorted((FILES / "dashboards").glob("*.json"))
SECOND = bytes(32_000)
DEAD_URL = "http://127.0.0.1:9/event"


@dataclass(frozen=True, slots=True)
class Watched:
    """A Prometheus that saw Recorder at work."""

    prometheus: prometheus.Prometheus
    began_s: float
    ended_s: float

    def series(self, expr: str) -> list[list[float]]:
        """Return what a query of a panel draws over the time that was watched."""
        for variable, value in (("$__rate_interval", "10s"), ("$instance", ".*")):
            expr = expr.replace(variable, value)
        answer = self.prometheus.ask(
            "query_range", query=expr, start=f"{self.began_s:.3f}", end=f"{self.ended_s:.3f}", step="1"
        )
        return [[float(value) for _, value in line["values"]] for line in answer["result"]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Twenty seconds of calls that go well, calls that do not, and everything around them, scraped every second."""
    directory = tmp_path_factory.mktemp("watched")
    arguments = ["--max-live-recordings", "2", "--resume-window-s", "1"]
    with (
        Server(directory / "data", arguments=arguments) as server,
        prometheus.running(directory, f"127.0.0.1:{server.ports.metrics}", RULES) as scraper,
    ):
        began_s = time.time()
        asyncio.run(_work(server, until_s=time.monotonic() + 20))
        yield Watched(scraper, began_s, time.time())


async def _work(server: Server, until_s: float) -> None:
    with Receiver(lambda count: 500 if count % 3 == 1 else 200) as receiver:
        async with Client(server.ports.grpc) as client:
            tenant = await client.create_tenant(server.admin_token)
            async with client.subscribe(tenant.metadata) as feed:
                await _store_away(server, client, tenant)
                while time.monotonic() < until_s:
                    await _round(client, tenant, receiver.url)
                await feed.until(event_pb2.EVENT_TYPE_RECORDING_COMPLETED)


async def _round(client: Client, tenant: Tenant, url: str) -> None:
    """One call that is told and downloaded, one for a dead endpoint, one without audio, one too many."""
    good = await client.call(tenant, legs=[leg()], ncco={"action": "record", "eventUrl": [url]})
    await good.audio(caller=(0, SECOND))
    await good.audio(caller=(48_000, SECOND))
    dead = await client.call(tenant, legs=[leg()], ncco={"action": "record", "eventUrl": [DEAD_URL], "format": "wav"})
    await dead.audio(caller=(0, SECOND))
    with pytest.raises(grpc.aio.AioRpcError):
        await client.call(tenant, legs=[leg()])
    recording = await good.hang_up()
    await dead.hang_up()
    empty = await client.call(tenant, legs=[leg()])
    assert (await empty.hang_up()).state == recording_pb2.RECORDING_STATE_EMPTY
    await asyncio.to_thread(download, recording, tenant)


async def _store_away(server: Server, client: Client, tenant: Tenant) -> None:
    """Take the store's directory away while a file is to be stored, and put it back."""
    files = server.data_dir / "files"
    files.rename(files.with_name("away"))
    files.write_text("not a directory")
    call = await client.call(tenant, legs=[leg()])
    await call.audio(caller=(0, SECOND))
    ended = asyncio.create_task(call.hang_up())
    await asyncio.wait((ended,), timeout=6)
    assert not ended.done()
    files.unlink()
    files.with_name("away").rename(files)
    await ended


def _queries() -> Iterator[tuple[str, str, str]]:
    for path in BOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield path.stem, panel["title"], target["expr"]


def test_every_panel_of_every_dashboard_shows_data(watched: Watched) -> None:
    """Each query gives at least one line with a number on it."""
    queries = list(_queries())
    assert len(BOARDS) == 5
    assert len(queries) > 60
    empty = [
        (board, title, expr)
        for board, title, expr in queries
        if not any(math.isfinite(value) for line in watched.series(expr) for value in line)
    ]
    assert empty == []


def test_every_rule_evaluates(watched: Watched) -> None:
    """Prometheus has evaluated each without an error; service levels have values."""
    groups = watched.prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    told = {rule["name"]: (rule["health"], rule.get("lastError", "")) for rule in rules}
    wanted = {rule.get("alert") or rule["record"] for path in RULES for rule in _rules(path)}
    assert told == dict.fromkeys(wanted, ("ok", ""))
    assert watched.series("recorder:hangup_to_available_late:ratio_rate5m")
    assert watched.series("recorder:ack_latency_seconds:p99_rate5m")


def test_what_went_wrong_can_be_seen(watched: Watched) -> None:
    """The store that was away, the call too many, the dead endpoint, the file that waited, the gap in the audio."""
    for expr in (
        'recorder_store_failures_total{operation="store", reason="STORAGE_FAILED"}',
        'recorder_admission_refusals_total{reason="TOO_MANY_RECORDINGS"}',
        'recorder_webhook_attempts_total{outcome="retried", status="none"}',
        'recorder_webhook_attempts_total{outcome="retried", status="5xx"}',
        'recorder_recordings_total{kind="call", outcome="empty", reason="hangup"}',
        "recorder_webhook_pending_deliveries",
        "recorder_webhook_oldest_undelivered_age_seconds",
        "recorder_spool_waiting_files",
        "recorder_spool_oldest_age_seconds",
        "recorder_audio_gap_seconds_total",
        'recorder_unready{probe="admission"}',
        "recorder_event_feed_lag_seconds_count",
    ):
        assert max((max(line) for line in watched.series(expr)), default=0.0) > 0, expr


def test_scrapes_are_quick(watched: Watched) -> None:
    """Prometheus itself says how long they took, connection and all: under 50 ms where nothing was in the way."""
    (took,) = watched.series("scrape_duration_seconds")
    assert len(took) > 10
    assert sorted(took)[len(took) // 5] < 0.05


def test_labels_hold_no_ids(watched: Watched) -> None:
    """No value of any label looks like an id, a number or an address, but for Prometheus' own target."""
    unbounded = re.compile(r"[0-9a-f]{8}-|\d{4,}|://")
    series = watched.prometheus.ask("series", **{"match[]": '{__name__=~"recorder_.*"}'})
    values = {value for labels in series for name, value in labels.items() if name not in {"instance", "le"}}
    assert [value for value in values if unbounded.search(value)] == []
    assert len(series) < 1000


def test_configuration_of_the_test_is_good(tmp_path: Path) -> None:
    """`promtool check` has no complaint about rules and configuration."""
    prometheus.require_prometheus()
    config = tmp_path / "prometheus.json"
    config.write_text(json.dumps(prometheus.configuration("127.0.0.1:9464", RULES)))
    for arguments in (["rules", *map(str, RULES)], ["config", str(config)]):
        done = subprocess.run(
            ["promtool", "check", *arguments], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _rules(path: Path) -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]

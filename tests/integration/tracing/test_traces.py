"""Traces of a real call, received by a real receiver."""

import json
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from tests.harness.client import Call, Client, leg, reason
from tests.harness.otlp import OtlpReceiver, ReceivedSpan
from tests.harness.receiver import Receiver
from tests.harness.server import Server

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
RECORD = "recorder.v1.RecorderService/RecordCall"
SERVER, CLIENT = 2, 3


async def _call(server: Server, url: str) -> str:
    """Record a call whose client traces it, and one that is refused; returns the recording's id."""
    async with Client(server.ports.grpc) as client:
        tenant = await client.create_tenant(server.admin_token)
        call = Call(client, (*tenant.metadata, ("traceparent", f"00-{TRACE}-{PARENT}-01")))
        secret = {"action": "record", "eventUrl": [f"{url}?secret=4711"], "endOnKey": "9"}
        await call.open(legs=[leg()], ncco=secret)
        await call.audio(caller=(0, bytes(32_000)))
        await call.press("9", 8000)
        recording = await call.completed()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call(tenant, legs=[])
        assert reason(refused.value)
    return recording.recording_id


async def test_call_is_one_trace_from_the_client_to_the_webhook(tmp_path: Path) -> None:
    """The RPC is a child of the caller's span; storing the file and telling the application are children of the RPC."""
    with OtlpReceiver() as otlp, Receiver() as webhooks:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url, "OTEL_SERVICE_NAME": "recorder-under-test"}
        with Server(tmp_path / "data", environment=environment) as server:
            recording_id = await _call(server, webhooks.url)
            assert server.terminate() == 0
        (rpc,) = [span for span in otlp.named(RECORD) if span.trace_id == TRACE]
        assert (rpc.kind, rpc.parent_id, rpc.service, rpc.failed) == (SERVER, PARENT, "recorder-under-test", False)
        for name in ("files store", "files verify", "webhook POST"):
            (span,) = otlp.named(name)
            assert (span.kind, span.trace_id, span.parent_id) == (CLIENT, TRACE, rpc.span_id), name
        assert otlp.named("webhook POST")[0].attributes["http.response.status_code"] == 200
        (refused,) = [span for span in otlp.named(RECORD) if span.trace_id != TRACE]
        assert refused.failed
        _hold_no_secrets(otlp.spans, recording_id)
    traced = [json.loads(line) for line in server.log.splitlines() if TRACE in line]
    facts = {line["event"] for line in traced}
    assert {"recording_started", "recording_stopped", "recording_completed", "webhook_tried"} <= facts
    assert {(line["trace_id"], line["recording_id"]) for line in traced} == {(TRACE, recording_id)}


def _hold_no_secrets(spans: list[ReceivedSpan], recording_id: str) -> None:
    told = " ".join(f"{span.name} {span.attributes}" for span in spans)
    assert not re.search(r"4711|secret|Bearer|eyJ", told)
    assert recording_id not in told


async def test_receiver_that_is_away_costs_no_call(tmp_path: Path) -> None:
    """Calls are recorded, and the end of the server waits for no trace."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with Receiver() as webhooks, Server(tmp_path / "data", environment=environment) as server:
        await _call(server, webhooks.url)
        assert server.terminate(timeout_s=30) == 0


def test_nothing_is_imported_unless_asked_for() -> None:
    """Without the variables the packages need not even be there."""
    code = (
        "import sys; import recorder_service.bootstrap; from recorder_service.tracing.loading import load_tracing;"
        "load_tracing({}); load_tracing({'OTEL_TRACES_EXPORTER': 'none', 'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://x'});"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

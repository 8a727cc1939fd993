"""What the log says, and what it never says."""

import re
from pathlib import Path

from tests.harness.client import Client, Tenant, leg
from tests.harness.logs import facts, faults
from tests.harness.receiver import Receiver
from tests.harness.server import Server

# A card number as key presses, one after the other; none of them may be found by its position either.
DIGITS = "4929*13#"
QUERY = "hush-hush-query"


async def _eventful_call(client: Client, tenant: Tenant, url: str) -> str:
    """Keys, a pause, a lost line, a webhook that fails at first."""
    call = await client.call(tenant, legs=[leg()], ncco={"action": "record", "eventUrl": [f"{url}?secret={QUERY}"]})
    await call.audio(caller=(0, bytes(range(256)) * 125))
    for index, digit in enumerate(DIGITS):
        await call.press(digit, 1000 * index)
    await call.pause()
    await call.go_on()
    await call.acknowledged(call.sequence - 1)
    call.cancel()
    recording = await client.ended(tenant, call.recording_id)
    return recording.recording_id


async def test_log_names_recordings_and_never_holds_what_was_said_pressed_or_signed(tmp_path: Path) -> None:
    """At the most talkative level: one JSON object a line, and no digit, audio, token, secret or query in any."""
    arguments = ["--log-level", "debug", "--resume-window-s", "0.5"]
    with (
        Receiver(lambda count: 500 if count == 1 else 200) as receiver,
        Server(tmp_path / "data", arguments=arguments) as server,
    ):
        async with Client(server.ports.grpc) as client:
            tenant = await client.create_tenant(server.admin_token)
            recording_id = await _eventful_call(client, tenant, receiver.url)
            receiver.wait(1)
        secrets = [server.admin_token, tenant.signature_secret, tenant.private_key_pem.splitlines()[1], QUERY]
        tokens = [request.headers["authorization"] for request in receiver.requests]
        assert server.terminate() == 0
    told = facts(server.log)
    assert faults(server.log) == []
    of_the_call = {fact["event"] for fact in told if fact.get("recording_id") == recording_id}
    life = {"recording_started", "recording_paused", "recording_resumed", "recording_stopped", "recording_completed"}
    assert life | {"stream_lost", "webhook_tried"} <= of_the_call
    for secret in (*secrets, *tokens):
        assert secret not in server.log
    assert not re.search(r"eyJ|Bearer|PRIVATE KEY|digit|payload|\\u00", server.log)
    named = {"recording_id", "delivery_id", "timestamp", "event", "level", "status", "attempts", "legs"}
    for fact in told:
        assert not [key for key, value in fact.items() if key not in named and str(value) in set(DIGITS) - {"1"}]

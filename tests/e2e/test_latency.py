"""How soon the world hears of a call that ended."""

import asyncio
import time

from tests.e2e.conftest import Figure
from tests.harness.client import Client, Tenant
from tests.harness.receiver import Receiver
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import media_pb2

PCM = speech(120).tobytes()
OTHER = speech(120, first=40).tobytes()


async def test_webhook_comes_within_300_ms_of_hang_up(
    server: Server, client: Client, tenant: Tenant, receiver: Receiver, figure: Figure
) -> None:
    """A call of two minutes in MP3, its audio rendered but for the last seconds as in real time; best of three."""
    taken_s = []
    for count in (1, 2, 3):
        call = await client.call(tenant, ncco={"action": "record", "eventUrl": [receiver.url]})
        await call.stream(caller=PCM, callee=OTHER)
        await call.acknowledged(call.sequence - 1)
        await settled(server)
        began_s = time.monotonic()
        await call.send(close=media_pb2.Close())
        await call.completed()
        webhook = receiver.wait(count)[-1]
        taken_s.append((webhook.arrived_s - began_s, call.arrived_s[-1] - began_s))
    webhook_s, completed_s = (min(column) for column in zip(*taken_s, strict=True))
    figure("hang-up of a two-minute call to its webhook", webhook_s * 1000, "ms")
    figure("hang-up of a two-minute call to `completed`", completed_s * 1000, "ms")
    assert webhook_s < 0.3
    assert completed_s < 0.3


async def settled(server: Server) -> None:
    """Wait until the server has rendered what it was sent faster than real time: it uses no CPU any more."""
    while True:
        before_s = server.cpu_s()
        await asyncio.sleep(0.2)
        if server.cpu_s() - before_s < 0.04:
            return

"""A server that is late with what it records takes nothing new, and goes on with what it has."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.harness.client import Call, Client, Tenant, leg, reason, retry_after_s
from tests.harness.files import download, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

WAV = {"action": "record", "format": "wav"}
PCM = speech(3)
_STOPPED_S = 0.4
_RUNNING_S = 0.06
_UNTIL_LATE_S = 4.0


@contextlib.asynccontextmanager
async def slowed(server: Server) -> AsyncIterator[None]:
    """Let a server have an eighth of its time, as a machine does that has too much to do."""

    async def slow() -> None:
        while True:
            server.send_signal(signal.SIGSTOP)
            await asyncio.sleep(_STOPPED_S)
            server.send_signal(signal.SIGCONT)
            await asyncio.sleep(_RUNNING_S)

    slowing = asyncio.create_task(slow())
    try:
        await asyncio.sleep(_UNTIL_LATE_S)
        yield
    finally:
        slowing.cancel()
        await asyncio.gather(slowing, return_exceptions=True)
        server.send_signal(signal.SIGCONT)


async def test_late_server_refuses_new_calls_and_goes_on_with_those_it_has(tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED, OVERLOADED and when to come back; a resumed call and one that lives are not refused."""
    with Server(tmp_path / "data") as server:
        async with Client(server.ports.grpc) as client:
            tenant = await client.create_tenant(server.admin_token)
            living = await client.call(tenant, legs=[leg()], ncco=WAV)
            cut = await client.call(tenant, legs=[leg()], ncco=WAV)
            cut.cancel()
            async with slowed(server):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await client.call(tenant, legs=[leg()], ncco=WAV)
                await Call(client, tenant.metadata).resume(cut.recording_id)
                await living.stream(caller=PCM.tobytes())
                await living.acknowledged(living.sequence - 1)
            assert (refused.value.code(), reason(refused.value)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert "ms late" in str(refused.value.details())
            assert retry_after_s(refused.value) > 0
            np.testing.assert_array_equal(wav_channels(download(await living.hang_up(), tenant))[0], PCM)
            async with asyncio.timeout(10):
                await _begun(client, tenant)


async def _begun(client: Client, tenant: Tenant) -> None:
    """Begin a call, as soon as the server is prompt again."""
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            call = await client.call(tenant, legs=[leg()], ncco=WAV)
            break
        await asyncio.sleep(0.2)
    await call.hang_up()

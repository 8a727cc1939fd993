"""The server goes down in the middle of calls, in order or not, and comes back: nothing acknowledged is lost."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.harness.client import Call, Client, Ledger, Tenant, pieces
from tests.harness.processes import render_processes
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import event_pb2, media_pb2, recording_pb2

WAV = {"action": "record", "format": "wav"}
MP3 = {"action": "record", "beepStart": True, "endOnSilence": 10}
FORMATS = {"caller": (16_000, 2), "callee": (8000, 1)}
COMPLETED = event_pb2.EVENT_TYPE_RECORDING_COMPLETED


def legs() -> list[recording_pb2.Leg]:
    caller = recording_pb2.Leg(
        leg_id="caller",
        role=recording_pb2.LEG_ROLE_CALLER,
        encoding=recording_pb2.AUDIO_ENCODING_LINEAR16,
        sample_rate_hz=16_000,
    )
    callee = recording_pb2.Leg(
        leg_id="callee",
        role=recording_pb2.LEG_ROLE_CALLEE,
        encoding=recording_pb2.AUDIO_ENCODING_MULAW,
        sample_rate_hz=8000,
    )
    return [caller, callee]


def script() -> list[dict[str, Any]]:
    """Return a call with everything in it: two codecs, a key, a pause that is cut out, a gap."""
    caller = speech(8).tobytes()
    callee = (speech(8, first=7, sample_rate_hz=8000).view("uint16") >> 8).astype("uint8").tobytes()
    audio = list(pieces(FORMATS, chunk_ms=20, caller=caller, callee=callee))
    key = {"dtmf": media_pb2.Dtmf(leg_id="callee", digit="5", frame=12_000)}
    pause = media_pb2.Pause(mode=recording_pb2.PAUSE_MODE_CUT, frame=3 * 16_000)
    pausing = {"control": media_pb2.Control(pause=pause)}
    resuming = {"control": media_pb2.Control(resume=media_pb2.Resume(frame=4 * 16_000))}
    before, held, after = audio[:150], audio[150:200], audio[200:]
    return [*before[:80], key, *before[80:], pausing, *held, resuming, *after[:60], *after[90:]]


SCRIPT = script()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that may be killed."""
    # Calls that wait for their client are not waited for: half a second shows that the order of going down is kept.
    # The journal commits rarely: an acknowledgement that does not wait for it would be found out.
    environment = {"RECORDER_DRAIN_GRACE_S": "0.5", "RECORDER_COMMIT_INTERVAL_S": "0.3"}
    with Server(tmp_path / "data", environment=environment) as server:
        yield server


@contextlib.asynccontextmanager
async def fresh(server: Server) -> AsyncIterator[Client]:
    """Connect anew, as after a restart."""
    async with Client(server.ports.grpc) as client:
        yield client


async def undisturbed(client: Client, tenant: Tenant, ncco: dict[str, Any]) -> recording_pb2.Recording:
    call = await client.call(tenant, legs=legs(), ncco=ncco)
    await call.follow(SCRIPT)
    return await call.hang_up()


async def down(call: Call) -> None:
    """Receive until the server is gone; whatever it acknowledges on the way counts."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while await call.receive() is not None:
            pass


async def go_on(client: Client, tenant: Tenant, recording_id: str, ledger: Ledger) -> recording_pb2.Recording:
    """Resume: everything acknowledged must be there. Then finish the script."""
    call = Call(client, tenant.metadata)
    opened = await call.resume(recording_id)
    assert opened.next_sequence > ledger.acknowledged
    await call.follow(SCRIPT)
    return await call.hang_up()


async def check_story(client: Client, tenant: Tenant, recording_id: str) -> None:
    """The feed tells each fact once, in order, without a hole."""
    told = await client.told(tenant, recording_id, COMPLETED)
    assert [event.recording_sequence for event in told] == [1, 2, 3, 4, 5, 6]
    assert len({event.event_id for event in told}) == len(told)
    assert [event.type for event in told] == [
        event_pb2.EVENT_TYPE_RECORDING_STARTED,
        event_pb2.EVENT_TYPE_DTMF,
        event_pb2.EVENT_TYPE_RECORDING_PAUSED,
        event_pb2.EVENT_TYPE_RECORDING_RESUMED,
        event_pb2.EVENT_TYPE_RECORDING_STOPPED,
        COMPLETED,
    ]


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
async def test_calls_go_on_after_a_restart_bit_for_bit(own_server: Server, how: str) -> None:
    """Three calls at different places, one of them paused: after a restart each file is the undisturbed one."""
    server = own_server
    async with fresh(server) as client:
        tenant = await client.create_tenant(server.admin_token)
        expected = {name: await undisturbed(client, tenant, ncco) for name, ncco in (("wav", WAV), ("mp3", MP3))}
        running = {}
        for name, ncco, upto in (("wav", WAV, 230), ("mp3", MP3, 120), ("mp3", MP3, 160)):
            call = await client.call(tenant, legs=legs(), ncco=ncco)
            await call.follow(SCRIPT, upto=upto)
            # All but the last messages are known to be safe; the last ones may or may not be.
            await call.acknowledged(upto - 20)
            running[call.recording_id] = (name, call)
        if how == "SIGKILL":
            server.kill()
        else:
            server.send_signal(signal.SIGTERM)
        for _, call in running.values():
            await down(call)
            drained = [response for response in call.responses if response.WhichOneof("payload") == "drain"]
            assert len(drained) == (1 if how == "SIGTERM" else 0)
        admin_token, code = server.admin_token, server.wait()
        assert code == (0 if how == "SIGTERM" else -9)
    line = server.start(keep_ports=True)
    assert server.admin_token == admin_token
    assert line["recovered_recordings"] == 3
    async with fresh(server) as client:
        for recording_id, (name, call) in running.items():
            recording = await go_on(client, tenant, recording_id, call.ledger)
            assert recording.file.sha256 == expected[name].file.sha256
            assert recording.legs == expected[name].legs
            assert recording.pauses == expected[name].pauses
            await check_story(client, tenant, recording_id)


async def test_node_whose_render_process_is_killed_ends_and_its_next_start_goes_on(own_server: Server) -> None:
    """By an out-of-memory killer, say: exit code 1, then the file of the undisturbed call."""
    server = own_server
    async with fresh(server) as client:
        tenant = await client.create_tenant(server.admin_token)
        expected = await undisturbed(client, tenant, MP3)
        call = await client.call(tenant, legs=legs(), ncco=MP3)
        await call.follow(SCRIPT, upto=160)
        await call.acknowledged(140)
        for process in render_processes(server.pid):
            os.kill(process, signal.SIGKILL)
        await down(call)
        assert await asyncio.to_thread(server.wait) == 1
    assert "render_process_ended" in server.log
    server.start(keep_ports=True)
    async with fresh(server) as client:
        recording = await go_on(client, tenant, call.recording_id, call.ledger)
    assert recording.file.sha256 == expected.file.sha256


async def test_render_processes_end_with_a_node_that_is_killed(own_server: Server) -> None:
    """Nobody is left to end them: they find out by themselves."""
    processes = render_processes(own_server.pid)
    assert processes
    own_server.kill()
    await asyncio.to_thread(wait_for_end, processes)


def wait_for_end(processes: list[int]) -> None:
    """Wait until none of them renders any more."""
    deadline_s = time.monotonic() + 10
    while any(process in render_processes(process) for process in processes):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


async def test_killed_server_finishes_what_nobody_comes_back_for(tmp_path: Path) -> None:
    """One call had just ended, one was running: the next start finishes both, with all that was acknowledged."""
    with Server(tmp_path / "data", arguments=["--resume-window-s", "1"]) as server:
        async with fresh(server) as client:
            tenant = await client.create_tenant(server.admin_token)
            expected = await undisturbed(client, tenant, MP3)
            running = await client.call(tenant, legs=legs(), ncco=WAV)
            await running.follow(SCRIPT, upto=100)
            await running.acknowledged(101)
            ended = await client.call(tenant, legs=legs(), ncco=MP3)
            await ended.follow(SCRIPT)
            await ended.send(close=media_pb2.Close())
            await ended.until("stopped")
            server.kill()
        server.start(keep_ports=True)
        async with fresh(server) as client:
            hung_up = await client.ended(tenant, ended.recording_id)
            interrupted = await client.ended(tenant, running.recording_id)
            await check_story(client, tenant, ended.recording_id)
    available = recording_pb2.RECORDING_STATE_AVAILABLE
    assert (hung_up.state, hung_up.stop_reason) == (available, recording_pb2.STOP_REASON_HANGUP)
    assert hung_up.file.sha256 == expected.file.sha256
    assert (interrupted.state, interrupted.stop_reason) == (available, recording_pb2.STOP_REASON_INTERRUPTED)
    # 99 chunks of 20 ms and one key press.
    assert interrupted.file.frames == 99 * 320


def test_second_server_on_the_same_directory_refuses_to_start(server: Server) -> None:
    """DIRECTORY_LOCKED, naming the process that has the directory, which goes on."""
    command = [sys.executable, "-m", "recorder_service", "--json", "serve", "--data-dir", str(server.data_dir)]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    refused = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    error = json.loads(refused.stderr)["error"]
    assert (refused.returncode, refused.stdout, error["reason"]) == (1, "", "DIRECTORY_LOCKED")
    assert f"process {server.pid}" in error["message"]
    assert server.running


async def test_calls_whose_time_ends_while_the_server_goes_down_are_finished_later(tmp_path: Path) -> None:
    """Their windows close all along the way down: no end begins when what it needs is already gone."""
    environment = {"RECORDER_RESUME_WINDOW_S": "1", "RECORDER_DRAIN_GRACE_S": "0"}
    with Server(tmp_path / "data", environment=environment) as server:
        async with fresh(server) as client:
            tenant = await client.create_tenant(server.admin_token)
            calls = await asyncio.gather(*(client.call(tenant, legs=legs(), ncco=WAV) for _ in range(60)))
            await asyncio.gather(*(call.follow(SCRIPT, upto=10) for call in calls))
            await asyncio.gather(*(call.acknowledged(10) for call in calls))
            lost_s = time.monotonic()
            for call in calls:
                call.cancel()
                await asyncio.sleep(0.01)
        await asyncio.sleep(max(0.0, lost_s + 1.1 - time.monotonic()))
        assert await asyncio.to_thread(server.terminate) == 0
        assert "finishing_failed" not in server.log
        server.start()
        async with fresh(server) as client:
            states = [(await client.ended(tenant, call.recording_id)).state for call in calls]
    assert set(states) == {recording_pb2.RECORDING_STATE_AVAILABLE}

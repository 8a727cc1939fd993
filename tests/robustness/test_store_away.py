"""The short form of a store that goes away, and the bug it must find."""

from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.server import Server
from tests.robustness import store_away
from tests.robustness.planted import planted

from recorder.v1 import recording_pb2

SEED = 20_261_122
_FINISHING = recording_pb2.RECORDING_STATE_FINISHING


@pytest.mark.slow
async def test_store_that_is_away_loses_nothing_and_holds_nobody_up() -> None:
    """Renamed, replaced by an empty directory, by a file: calls go on, and all files are there soon after."""
    result = await store_away.run(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_waiting_recordings_that_count_as_live_are_found() -> None:
    """New calls are refused because of those that only wait for the store."""
    (bug,) = store_away.SCENARIOS[0].bugs
    result = await store_away.run(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert set(result.details["refused"]) == {"TOO_MANY_RECORDINGS"}, result


async def test_what_comes_after_the_end_is_passed_over_while_the_store_is_away(tmp_path: Path) -> None:
    """A recording that its time-out ended holds no memory any more; its caller goes on speaking and pressing keys."""
    with Server(tmp_path / "data") as server:
        async with Client(server.ports.grpc) as client:
            tenant = await client.create_tenant(server.admin_token)
            call = await client.call(tenant, ncco={"action": "record", "format": "wav", "timeOut": 3})
            (server.data_dir / "files").rename(server.data_dir / "away")
            await call.stream(caller=bytes(128_000), callee=bytes(128_000))
            await call.until("stopped")
            while (state := (await client.recording(tenant, call.recording_id)).state) != _FINISHING:
                assert state == recording_pb2.RECORDING_STATE_RECORDING
            await call.audio(caller=(64_000, bytes(640)))
            await call.press("1", 64_000)
            await call.stop(64_000)
            (server.data_dir / "away").rename(server.data_dir / "files")
            recording = await call.completed()
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    assert recording.stop_reason == recording_pb2.STOP_REASON_TIMEOUT

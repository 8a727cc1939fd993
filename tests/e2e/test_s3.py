"""Files in a real S3 store: everything else is as with a directory."""

from pathlib import Path

import numpy as np
from tests.harness import seaweedfs
from tests.harness.client import Client
from tests.harness.files import download, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import recording_pb2


async def test_call_is_kept_in_s3_and_downloaded_from_there(tmp_path: Path) -> None:
    """The file is whole, and nothing of it stays on the node's disk."""
    (tmp_path / "seaweedfs").mkdir()
    with seaweedfs.running(tmp_path / "seaweedfs") as store:
        keys = {"RECORDER_S3_ACCESS_KEY": store.access_key, "RECORDER_S3_SECRET_KEY": store.secret_key}
        settings = {"RECORDER_S3_ENDPOINT": store.url, "RECORDER_S3_BUCKET": "calls", **keys}
        with Server(tmp_path / "data", environment=settings) as server:
            async with Client(server.ports.grpc) as client:
                tenant = await client.create_tenant(server.admin_token)
                call = await client.call(tenant, ncco={"action": "record", "format": "wav"})
                await call.stream(caller=speech(3).tobytes())
                recording = await call.hang_up()
                assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
                np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], speech(3))
            assert not list((server.data_dir / "spool").iterdir())
            assert not (server.data_dir / "files").exists()

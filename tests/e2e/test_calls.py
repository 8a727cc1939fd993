"""A call from its first frame to its file, with real speech and a client made of generated stubs only."""

import io
import urllib.request
import wave

import numpy as np
from numpy.typing import NDArray
from recorder.v1 import recording_pb2
from tests.harness.client import Client, Tenant
from tests.harness.speech import speech

LEFT = speech(5)
RIGHT = speech(5, first=7)


def download(recording: recording_pb2.Recording, tenant: Tenant) -> bytes:
    request = urllib.request.Request(recording.file.url, headers={"authorization": f"Bearer {tenant.token()}"})
    with urllib.request.urlopen(request, timeout=20) as response:
        data: bytes = response.read()
    return data


def wav_channels(data: bytes) -> NDArray[np.int16]:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (16_000, 2)
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return pcm.reshape(-1, file.getnchannels()).T.astype(np.int16)


async def test_mono_wav_is_the_plain_sum_sample_for_sample(client: Client, tenant: Tenant) -> None:
    """Two legs at half level, so that the sum fits 16 bit: the file is their sum."""
    call = await client.call(tenant, ncco={"action": "record", "format": "wav"})
    left, right = (LEFT // 2).astype(np.int16), (RIGHT // 2).astype(np.int16)
    await call.stream(caller=left.tobytes(), callee=right.tobytes())
    recording = await call.hang_up()
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], left + right)


async def test_split_wav_holds_each_leg_as_it_was_sent(client: Client, tenant: Tenant) -> None:
    """The caller is left, what the caller hears right."""
    call = await client.call(tenant, ncco={"action": "record", "format": "wav", "split": "conversation"})
    await call.stream(caller=LEFT.tobytes(), callee=RIGHT.tobytes())
    channels = wav_channels(download(await call.hang_up(), tenant))
    np.testing.assert_array_equal(channels, np.stack([LEFT, RIGHT]))

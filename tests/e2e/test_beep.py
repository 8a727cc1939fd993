"""The beep at the start: in the caller's ear, and in the recording."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.harness import processes
from tests.harness.client import Call, Client, Tenant, leg
from tests.harness.files import download, lag_frames, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder import g711
from recorder.v1 import media_pb2, recording_pb2

BEEP = {"action": "record", "format": "wav", "beepStart": "true"}
PROMPT = (speech(3) // 4).astype(np.int16)


async def play(call: Call) -> media_pb2.Play:
    return (await call.until("play")).play


def tone(payload: bytes) -> NDArray[np.int16]:
    return np.frombuffer(payload, "<i2").astype(np.int16)


def pitch_hz(pcm: NDArray[np.int16], sample_rate_hz: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(pcm.astype(np.float64)))) * sample_rate_hz / len(pcm))


async def test_beep_is_played_to_the_caller_and_mixed_into_the_recording(client: Client, tenant: Tenant) -> None:
    """What `play` carried is in the mono file, frame for frame, on top of the speech."""
    call = await client.call(tenant, ncco=BEEP)
    played = await play(call)
    assert (played.leg_id, played.start_frame) == ("caller", 0)
    beep = tone(played.payload)
    await call.stream(caller=PROMPT.tobytes())
    mixed = wav_channels(download(await call.hang_up(), tenant))[0]
    expected = PROMPT.copy()
    expected[: len(beep)] += beep
    np.testing.assert_array_equal(mixed, expected)
    assert abs(pitch_hz(beep, 16_000) - 1400) < 5


async def test_beep_of_a_split_recording_is_right_where_the_caller_hears_it(client: Client, tenant: Tenant) -> None:
    """Left is what the caller says: the beep is not there."""
    call = await client.call(tenant, ncco={**BEEP, "split": "conversation"})
    beep = tone((await play(call)).payload)
    await call.stream(caller=PROMPT.tobytes(), callee=bytes(2 * len(PROMPT)))
    left, right = wav_channels(download(await call.hang_up(), tenant))
    np.testing.assert_array_equal(left, PROMPT)
    np.testing.assert_array_equal(right[: len(beep)], beep)
    assert not right[len(beep) :].any()


async def test_beep_comes_in_the_callers_own_encoding_and_rate(client: Client, tenant: Tenant) -> None:
    """A mu-law caller at 8 kHz gets mu-law at 8 kHz, and it is the tone of the recording."""
    legs = [leg(encoding=recording_pb2.AUDIO_ENCODING_MULAW, sample_rate_hz=8000)]
    call = await client.call(tenant, legs=legs, ncco=BEEP)
    beep = tone(g711.decode("mulaw", (await play(call)).payload))
    assert abs(pitch_hz(beep, 8000) - 1400) < 5
    await call.stream(caller=b"\xff" * 8000)
    recorded = wav_channels(download(await call.hang_up(), tenant))[0]
    assert len(recorded) == 16_000
    assert lag_frames(recorded[::2][: len(beep)], beep) == 0


async def test_recording_without_beep_plays_nothing(client: Client, tenant: Tenant) -> None:
    """`beepStart` is off unless asked for, and the string "false" does not ask for it."""
    call = await client.call(tenant, ncco={**BEEP, "beepStart": "false"})
    await call.stream(caller=PROMPT.tobytes())
    recording = await call.hang_up()
    assert "play" not in [response.WhichOneof("payload") for response in call.responses]
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], PROMPT)


async def test_beep_is_made_without_numpy(server: Server, client: Client, tenant: Tenant) -> None:
    """Nobody waits for 50 ms of imports, on the loop that receives, when the first caller is to hear one."""
    call = await client.call(tenant, ncco=BEEP)
    await play(call)
    await call.stream(caller=PROMPT.tobytes())
    await call.hang_up()
    rendering = processes.render_processes(server.pid)
    for pid in processes.family(server.pid):
        assert ("numpy" in Path(f"/proc/{pid}/maps").read_text()) == (pid in rendering)

"""Named conferences from the first leg to the file: who is in it when, in which channel, and when it is recorded."""

import asyncio
import contextlib
import uuid

import grpc
import numpy as np
import pytest
from tests.harness.client import Client, Tenant, reason
from tests.harness.conference import Stream, participant
from tests.harness.files import download, wav_channels
from tests.harness.speech import speech

from recorder.v1 import event_pb2, media_pb2, recorder_service_pb2, recording_pb2, recording_service_pb2

A, B, C = speech(4), speech(4, first=7), speech(4, first=13)
CHUNK = 1600
SECOND = 16_000
SPLIT = {"action": "record", "format": "wav", "split": "conversation", "channels": 4}
AVAILABLE = recording_pb2.RECORDING_STATE_AVAILABLE


async def talk(stream: Stream, start: int = 0, end: int = 4 * SECOND, **legs: np.ndarray) -> None:
    """Send legs side by side in chunks of 100 ms."""
    for at in range(start, end, CHUNK):
        await stream.audio(**{leg_id: (at, pcm[at : min(end, at + CHUNK)].tobytes()) for leg_id, pcm in legs.items()})


async def test_streams_of_one_conference_make_one_file_with_a_channel_a_leg(client: Client, tenant: Tenant) -> None:
    """Two senders that share a clock, three legs: each channel equals its leg, in the order of joining."""
    name = f"room {uuid.uuid4()}"
    first, second = Stream(client, tenant.metadata), Stream(client, tenant.metadata)
    opened = await first.join(name, [participant("a"), participant("b")], ncco=SPLIT, origin_frame=0)
    other = await second.join(name, [participant("c")], origin_frame=0)
    assert opened.recording.recording_id == other.recording.recording_id
    assert opened.conversation_id == other.conversation_id
    for at in range(0, 4 * SECOND, CHUNK):
        await talk(first, at, at + CHUNK, a=A, b=B)
        await talk(second, at, at + CHUNK, c=C)
    await first.close()
    assert not (await first.until("ended")).ended.conference_ended
    await second.close()
    recording = await second.completed()
    assert (await second.until("ended")).ended.conference_ended
    assert recording.state == AVAILABLE
    assert (recording.kind, recording.conference_name) == (recording_pb2.RECORDING_KIND_CONFERENCE, name)
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    np.testing.assert_array_equal(wav_channels(download(recording, tenant)), np.stack([A, B, C, np.zeros_like(A)]))
    assert [(leg.leg.leg_id, leg.channel, leg.frames, leg.gap_frames) for leg in recording.legs] == [
        ("a", 0, 64_000, 0),
        ("b", 1, 64_000, 0),
        ("c", 2, 64_000, 0),
    ]


async def test_leg_that_comes_back_keeps_its_channel_and_a_muted_one_is_not_recorded(
    client: Client, tenant: Tenant
) -> None:
    """The channel map tells every stay and every muted interval; the file holds what was sent in between."""
    stream = Stream(client, tenant.metadata)
    await stream.join(f"room {uuid.uuid4()}", [participant("a"), participant("b")], ncco=SPLIT, origin_frame=0)
    await talk(stream, 0, SECOND, a=A, b=B)
    await stream.leave("a", SECOND)
    await stream.mute("b", True, SECOND)
    await talk(stream, SECOND, 2 * SECOND, b=B)
    await stream.enter(participant("c", frame=2 * SECOND))
    await stream.enter(participant("a", frame=2 * SECOND))
    await stream.mute("b", False, 2 * SECOND)
    await talk(stream, 2 * SECOND, 3 * SECOND, a=A, b=B, c=C)
    await stream.leave("c", 3 * SECOND)
    await stream.leave("b", 3 * SECOND)
    await stream.leave("a", 3 * SECOND + 8000)
    recording = await stream.completed()
    expected = np.zeros((4, 3 * SECOND + 8000), dtype=np.int16)
    for channel, pcm, start, end in (
        (0, A, 0, 1), (0, A, 2, 3), (1, B, 0, 1), (1, B, 2, 3), (2, C, 2, 3),
    ):  # fmt: skip
        expected[channel, start * SECOND : end * SECOND] = pcm[start * SECOND : end * SECOND]
    np.testing.assert_array_equal(wav_channels(download(recording, tenant)), expected)
    stays = {leg.leg.leg_id: [(stay.joined_frame, stay.left_frame) for stay in leg.stays] for leg in recording.legs}
    assert stays == {
        "a": [(0, SECOND), (2 * SECOND, 3 * SECOND + 8000)],
        "b": [(0, 3 * SECOND)],
        "c": [(2 * SECOND, 3 * SECOND)],
    }
    muted = recording.legs[1].stays[0].muted
    assert [(interval.start_frame, interval.end_frame) for interval in muted] == [(SECOND, 2 * SECOND)]
    told = await client.told(tenant, recording.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
    assert [
        (event.leg.leg_id, event.leg.frame, event.leg.channel, event.type) for event in told if event.leg.leg_id
    ] == [
        ("a", 0, 0, event_pb2.EVENT_TYPE_LEG_JOINED),
        ("b", 0, 1, event_pb2.EVENT_TYPE_LEG_JOINED),
        ("a", SECOND, 0, event_pb2.EVENT_TYPE_LEG_LEFT),
        ("b", SECOND, 1, event_pb2.EVENT_TYPE_LEG_MUTED),
        ("c", 2 * SECOND, 2, event_pb2.EVENT_TYPE_LEG_JOINED),
        ("a", 2 * SECOND, 0, event_pb2.EVENT_TYPE_LEG_JOINED),
        ("b", 2 * SECOND, 1, event_pb2.EVENT_TYPE_LEG_UNMUTED),
        ("c", 3 * SECOND, 2, event_pb2.EVENT_TYPE_LEG_LEFT),
        ("b", 3 * SECOND, 1, event_pb2.EVENT_TYPE_LEG_LEFT),
        ("a", 3 * SECOND + 8000, 0, event_pb2.EVENT_TYPE_LEG_LEFT),
    ]


async def test_moderated_room_is_recorded_from_the_moderator_on_until_he_leaves(client: Client, tenant: Tenant) -> None:
    """A leg with `start_on_enter` starts the recording, one with `end_on_exit` ends the conference for all."""
    name = f"room {uuid.uuid4()}"
    guests, moderator = Stream(client, tenant.metadata), Stream(client, tenant.metadata)
    opened = await guests.join(name, [participant("guest", start_on_enter=False)], ncco=SPLIT, origin_frame=0)
    assert not opened.HasField("recording")
    await talk(guests, 0, SECOND, guest=A)
    await guests.until_acknowledged(guests.sequence - 1)
    joined = await moderator.join(name, [participant("chair", end_on_exit=True)], origin_frame=SECOND)
    assert joined.HasField("recording")
    assert (await guests.until("started")).started.recording.recording_id == joined.recording.recording_id
    for at in range(SECOND, 2 * SECOND, CHUNK):
        await talk(guests, at, at + CHUNK, guest=A)
        await moderator.audio(chair=(at - SECOND, B[at : at + CHUNK].tobytes()))
    await guests.until_acknowledged(guests.sequence - 1)
    await moderator.leave("chair", SECOND)
    for stream in (guests, moderator):
        recording = await stream.completed()
        assert (await stream.until("ended")).ended.conference_ended
    channels = wav_channels(download(recording, tenant))
    assert channels.shape[1] == SECOND
    # The guest was there first and has the first channel.
    np.testing.assert_array_equal(channels[0], A[SECOND : 2 * SECOND])
    np.testing.assert_array_equal(channels[1], B[SECOND : 2 * SECOND])


async def test_name_may_be_used_again_after_the_conference_has_ended(client: Client, tenant: Tenant) -> None:
    """Another conference, another conversation, another recording."""
    name, seen = f"room {uuid.uuid4()}", set()
    for _ in range(2):
        stream = Stream(client, tenant.metadata)
        opened = await stream.join(name, [participant("a")], ncco=SPLIT, origin_frame=0)
        await talk(stream, 0, SECOND, a=A)
        await stream.close()
        recording = await stream.completed()
        assert (recording.state, recording.file.frames) == (AVAILABLE, SECOND)
        seen.add((recording.recording_id, opened.conversation_id))
    assert len({one for one, _ in seen}) == len({one for _, one in seen}) == 2


async def test_recordings_on_demand_start_and_stop_while_the_conference_goes_on(client: Client, tenant: Tenant) -> None:
    """Each start makes a recording of its own; audio in between is let go and acknowledged all the same."""
    stream = Stream(client, tenant.metadata)
    mode = recorder_service_pb2.CONFERENCE_RECORD_MODE_ON_DEMAND
    opened = await stream.join(f"room {uuid.uuid4()}", [participant("a")], ncco=SPLIT, record=mode)
    assert not opened.HasField("recording")
    await talk(stream, 0, SECOND, a=A)
    await stream.until_acknowledged(stream.sequence - 1)
    made = []
    for second in (1, 2):
        start = recording_service_pb2.StartConferenceRecordingRequest(conversation_id=opened.conversation_id)
        started = await client.recordings.StartConferenceRecording(start, metadata=tenant.metadata)
        again = await client.recordings.StartConferenceRecording(start, metadata=tenant.metadata)
        assert started.recording.recording_id == again.recording.recording_id
        await talk(stream, second * SECOND, (second + 1) * SECOND, a=A)
        await stream.until_acknowledged(stream.sequence - 1)
        stop = recording_service_pb2.StopConferenceRecordingRequest(conversation_id=opened.conversation_id)
        await client.recordings.StopConferenceRecording(stop, metadata=tenant.metadata)
        made.append(await stream.completed())
    await talk(stream, 3 * SECOND, 4 * SECOND, a=A)
    await stream.close()
    assert (await stream.until("ended")).ended.conference_ended
    assert len({recording.recording_id for recording in made}) == 2
    for recording in made:
        assert (recording.state, recording.stop_reason) == (AVAILABLE, recording_pb2.STOP_REASON_REQUESTED)
        assert recording.legs[0].frames == SECOND
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await client.recordings.StartConferenceRecording(start, metadata=tenant.metadata)
    assert reason(gone.value) == "CONFERENCE_NOT_FOUND"


async def test_bad_input_is_refused_with_its_reason_and_the_conference_goes_on(client: Client, tenant: Tenant) -> None:
    """The same leg id twice, a leg that never joined, another application's stream, too many legs, sync options."""
    name = f"room {uuid.uuid4()}"
    good = Stream(client, tenant.metadata)
    await good.join(name, [participant("a")], ncco=SPLIT, origin_frame=0)

    async def refused(bad: Stream) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await bad.until("ended")
        return reason(error.value)

    async def refused_opening(**how: object) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await Stream(client, tenant.metadata).join(name, **how)  # type: ignore[arg-type] # bad on purpose
        return reason(error.value)

    assert await refused_opening(legs=[participant("a")]) == "DUPLICATE_LEG"
    assert await refused_opening(legs=[participant("x"), participant("x")]) == "DUPLICATE_LEG"
    assert await refused_opening(legs=[participant(f"l{n}") for n in range(65)]) == "TOO_MANY_LEGS"
    assert await refused_opening(ncco={"action": "record", "endOnSilence": 3}) == "INVALID_OPTION"
    many = {"action": "record", "format": "mp3", "split": "conversation", "channels": 3}
    assert await refused_opening(ncco=many) == "UNSUPPORTED_FORMAT"
    assert await refused_opening(stream_id="x") == "INVALID_FIELD"
    assert await refused_opening(legs=[participant("b", sample_rate_hz=11_025)]) == "INVALID_FIELD"
    assert await refused_opening(origin_frame=-1) == "FRAME_OUT_OF_RANGE"
    bad = Stream(client, tenant.metadata)
    await bad.join(name, [participant("b")], origin_frame=0)
    await bad.leave("never")
    assert await refused(bad) == "UNKNOWN_LEG"
    again = Stream(client, tenant.metadata)
    await again.resume(bad.stream_id)
    await again.enter(participant("a"))
    assert await refused(again) == "DUPLICATE_LEG"
    once_more = Stream(client, tenant.metadata)
    await once_more.resume(bad.stream_id)
    await once_more.audio(a=(0, bytes(320)))
    assert await refused(once_more) == "UNKNOWN_LEG"
    last = Stream(client, tenant.metadata)
    await last.resume(bad.stream_id)
    await last.close()
    assert not (await last.until("ended")).ended.conference_ended
    await talk(good, 0, SECOND, a=A)
    await good.close()
    assert (await good.completed()).file.frames == SECOND


async def test_another_applications_token_reaches_nothing(client: Client, tenant: Tenant, server: object) -> None:
    """The name is its own conference there, the stream and the conversation are not found."""
    name = f"room {uuid.uuid4()}"
    mine = Stream(client, tenant.metadata)
    opened = await mine.join(name, [participant("a")], ncco=SPLIT, origin_frame=0)
    other = await client.create_tenant(server.admin_token)  # type: ignore[attr-defined] # a Server
    theirs = Stream(client, other.metadata)
    assert (await theirs.join(name, [participant("a")])).conversation_id != opened.conversation_id
    with pytest.raises(grpc.aio.AioRpcError) as stolen:
        await Stream(client, other.metadata).resume(mine.stream_id)
    assert reason(stolen.value) == "STREAM_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as foreign:
        await Stream(client, other.metadata).join(name, [participant("b")], application_id=tenant.application_id)
    assert reason(foreign.value) == "ADMIN_ONLY"
    stop = recording_service_pb2.StopConferenceRecordingRequest(conversation_id=opened.conversation_id)
    with pytest.raises(grpc.aio.AioRpcError) as stopped:
        await client.recordings.StopConferenceRecording(stop, metadata=other.metadata)
    assert reason(stopped.value) == "CONFERENCE_NOT_FOUND"
    await theirs.close()
    await talk(mine, 0, SECOND, a=A)
    await mine.close()
    assert (await mine.completed()).file.frames == SECOND


async def test_stream_that_loses_its_line_is_resumed_and_nothing_is_missing(client: Client, tenant: Tenant) -> None:
    """The other stream goes on far ahead meanwhile; the file is the one that an undisturbed conference gives."""
    name = f"room {uuid.uuid4()}"
    steady, broken = Stream(client, tenant.metadata), Stream(client, tenant.metadata)
    long_a = np.tile(A, 10)
    await steady.join(name, [participant("a")], ncco=SPLIT, origin_frame=0)
    await broken.join(name, [participant("b")], origin_frame=0)
    await talk(steady, 0, SECOND, a=A)
    await talk(broken, 0, SECOND, b=B)
    broken.cancel()
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError):
        while await broken.receive() is not None:
            pass
    for at in range(SECOND, 40 * SECOND, SECOND):
        # Few messages: the server waits no longer than a second for the other stream.
        await steady.audio(a=(at, long_a[at : at + SECOND].tobytes()))
    resumed = Stream(client, tenant.metadata)
    await resumed.resume(broken.stream_id)
    for sequence in range(resumed.sequence, broken.sequence):
        await resumed.write(broken.sent[sequence])
    resumed.sequence = broken.sequence
    await talk(resumed, SECOND, 4 * SECOND, b=B)
    await resumed.close()
    await resumed.until("ended")
    await steady.close()
    recording = await steady.completed()
    channels = wav_channels(download(recording, tenant))
    np.testing.assert_array_equal(channels[0], long_a)
    np.testing.assert_array_equal(channels[1, : 4 * SECOND], B)


async def test_stream_that_nobody_resumes_takes_its_legs_with_it(client: Client, tenant: Tenant) -> None:
    """The last one ends the conference as interrupted, with everything acknowledged."""
    stream = Stream(client, tenant.metadata)
    opened = await stream.join(f"room {uuid.uuid4()}", [participant("a")], ncco=SPLIT, origin_frame=0)
    await talk(stream, 0, SECOND, a=A)
    await stream.until_acknowledged(stream.sequence - 1)
    stream.cancel()
    recording = await client.ended(tenant, opened.recording.recording_id)
    assert (recording.state, recording.stop_reason) == (AVAILABLE, recording_pb2.STOP_REASON_INTERRUPTED)
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], A[:SECOND])


async def test_key_presses_pauses_and_the_mono_mix_are_those_of_calls(client: Client, tenant: Tenant) -> None:
    """One channel with everybody, a pause that is cut out, and a key in the feed."""
    a, b = (A // 2).astype(np.int16), (B // 2).astype(np.int16)
    stream = Stream(client, tenant.metadata)
    mono = {"action": "record", "format": "wav"}
    await stream.join(f"room {uuid.uuid4()}", [participant("a"), participant("b")], ncco=mono, origin_frame=0)
    await talk(stream, 0, SECOND, a=a, b=b)
    await stream.send(dtmf=media_pb2.Dtmf(leg_id="b", digit="5", frame=8000))
    pause = media_pb2.Pause(mode=recording_pb2.PAUSE_MODE_CUT, frame=SECOND)
    await stream.send(control=media_pb2.Control(pause=pause))
    await talk(stream, SECOND, 2 * SECOND, a=a, b=b)
    await stream.send(control=media_pb2.Control(resume=media_pb2.Resume(frame=2 * SECOND)))
    await talk(stream, 2 * SECOND, 3 * SECOND, a=a, b=b)
    await stream.close()
    recording = await stream.completed()
    both = a + b
    expected = np.concatenate([both[:SECOND], both[2 * SECOND : 3 * SECOND]])
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], expected)
    told = await client.told(tenant, recording.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
    assert [event.dtmf.digit for event in told if event.dtmf.digit] == ["5"]

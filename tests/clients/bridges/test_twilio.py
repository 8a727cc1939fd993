"""Twilio Media Streams: from the documentation, and from a simulator that others published."""

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamdouble.session import Session, SessionConfig
from tests.clients.bridges.bridge_process import (
    WAV,
    BridgeProcess,
    begun,
    capture,
    channels,
    conversation_id,
    ended,
    reference_sha256,
)
from tests.clients.conformance import Bench
from tests.harness.client import Client, two_legs
from tests.harness.speech import speech
from websockets.asyncio.client import connect

from recorder import g711
from recorder.v1 import recording_pb2

SPLIT = {**WAV, "split": "conversation"}
FRAME_BYTES = 160
INBOUND = g711.encode("mulaw", speech(4, sample_rate_hz=8_000).tobytes())
OUTBOUND = g711.encode("mulaw", speech(4, first=7, sample_rate_hz=8_000).tobytes())
MULAW = recording_pb2.AUDIO_ENCODING_MULAW


def frames(audio: bytes) -> list[bytes]:
    return [audio[at : at + FRAME_BYTES] for at in range(0, len(audio), FRAME_BYTES)]


def media(sequence: int, number: int, track: str) -> str:
    """Give the frame that a track has at `number` times 20 ms."""
    audio = INBOUND if track == "inbound" else OUTBOUND
    payload = base64.b64encode(audio[number * FRAME_BYTES : (number + 1) * FRAME_BYTES]).decode()
    told = {"track": track, "chunk": str(sequence), "timestamp": str(number * 20), "payload": payload}
    return json.dumps({"event": "media", "sequenceNumber": str(sequence), "media": told})


def spoken(conversation: str) -> list[str]:
    """Spell the capture's messages out."""
    sequence, number, messages = 1, 0, []
    for message in capture("twilio"):
        if "text" in message:
            sequence += 1
            text = json.dumps(message["text"]).replace("CONVERSATION", conversation)
            messages.append(text.replace("SEQUENCE", str(sequence)))
            continue
        for _ in range(message["repeat"]):
            for track in message["media"]:
                sequence += 1
                messages.append(media(sequence, number, track))
            number += 1
    return messages


async def play(url: str, messages: list[str], **options: Any) -> None:
    async with connect(url, **options) as connection:
        for message in messages:
            await connection.send(message)
        await connection.wait_closed()


async def test_capture_from_the_documentation_is_recorded_split(bench: Bench) -> None:
    """Both tracks at their timestamps: where the outbound one was silent its channel is, and nothing slides."""
    conversation = conversation_id()
    with BridgeProcess(bench, "twilio", SPLIT) as bridge:
        await play(bridge.url, spoken(conversation))
        recording = await ended(bench, conversation)
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    assert (recording.metadata["FirstName"], recording.metadata["callSid"][:2]) == ("Jane", "CA")
    assert recording.file.sha256 == await undisturbed(bench)


async def undisturbed(bench: Bench) -> str:
    """Give the hash of the capture's audio through the generated stubs: nothing is sent for the silent second."""
    async with Client(bench.server.ports.grpc) as client:
        call = await client.call(bench.tenant, legs=two_legs(8_000, MULAW), ncco=SPLIT)
        for start_ms, end_ms, tracks in ((0, 2000, 2), (2000, 3000, 1), (3000, 4000, 2)):
            part = slice(start_ms * 8, end_ms * 8)
            legs = {"caller": INBOUND[part], "callee": OUTBOUND[part]}
            await call.stream(chunk_ms=20, from_ms=start_ms, **dict(list(legs.items())[:tracks]))  # type: ignore[arg-type] # audio by leg
        return (await call.hang_up()).file.sha256


async def test_repeated_messages_count_once(bench: Bench) -> None:
    """A message that comes again with its old number changes nothing."""
    conversation = conversation_id()
    messages = spoken(conversation)
    with BridgeProcess(bench, "twilio") as bridge:
        await play(bridge.url, [*messages[:20], messages[10], *messages[20:]])
        recording = await ended(bench, conversation)
    assert [part.repeated_frames for part in recording.legs] == [0, 0]
    assert recording.options.split == recording_pb2.SPLIT_CONVERSATION


async def test_key_ends_a_recording(bench: Bench) -> None:
    """The capture's key 1 ends it at 2 s."""
    conversation = conversation_id()
    with BridgeProcess(bench, "twilio", {**SPLIT, "endOnKey": "1"}) as bridge:
        await play(bridge.url, spoken(conversation)[:-1])
        recording = await ended(bench, conversation)
    assert (recording.stop_reason, recording.file.frames) == (recording_pb2.STOP_REASON_KEY, 32_000)


async def test_stream_without_stop_is_interrupted(bench: Bench) -> None:
    """A stream that ends in the middle leaves what was sent."""
    conversation = conversation_id()
    with BridgeProcess(bench, "twilio", SPLIT) as bridge:
        async with connect(bridge.url) as connection:
            for message in spoken(conversation)[:-1]:
                await connection.send(message)
        recording = await ended(bench, conversation)
    assert recording.stop_reason == recording_pb2.STOP_REASON_INTERRUPTED
    assert recording.file.frames == 64_000


GARBAGE = [
    ["{"],
    [json.dumps({"event": "connected"}), json.dumps({"event": "media"})],
    [json.dumps({"event": "connected"}), json.dumps({"event": "start", "start": {"tracks": ["inbound"]}})],
    [*spoken("CON-x")[:3], json.dumps({"event": "media", "media": {"track": "inbound", "payload": "%%%"}})],
    [*spoken("CON-x")[:3], json.dumps({"event": "media", "media": {"track": "third", "payload": ""}})],
    [*spoken("CON-x")[:3], json.dumps({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": ""}})],
]


async def test_garbage_is_refused_while_another_call_goes_on(bench: Bench) -> None:
    """Each is closed with 1008; the call beside ends in order."""
    conversation = conversation_id()
    messages = spoken(conversation)
    with BridgeProcess(bench, "twilio", SPLIT) as bridge:
        async with connect(bridge.url) as good:
            for message in messages[:50]:
                await good.send(message)
            for bad_messages in GARBAGE:
                async with connect(bridge.url) as bad:
                    for message in bad_messages:
                        await bad.send(message)
                    await bad.wait_closed()
                    assert bad.close_code == 1008
            for message in messages[50:]:
                await good.send(message)
            await good.wait_closed()
        recording = await ended(bench, conversation)
    assert (recording.stop_reason, recording.file.frames) == (recording_pb2.STOP_REASON_HANGUP, 64_000)


async def test_signature_of_the_address_lets_in(bench: Bench, tmp_path: Path) -> None:
    """X-Twilio-Signature over the public address is checked; the token itself is never logged."""
    token, public = "0123456789abcdef0123456789abcdef", "wss://media.example.com"
    (tmp_path / "token").write_text(token)
    signature = base64.b64encode(hmac.new(token.encode(), f"{public}/media".encode(), hashlib.sha1).digest()).decode()
    conversation = conversation_id()
    arguments = ["--twilio-token-file", str(tmp_path / "token"), "--public-url", public]
    with BridgeProcess(bench, "twilio", SPLIT, arguments) as bridge:
        for headers in ({}, {"X-Twilio-Signature": "AAAA"}):
            with pytest.raises(Exception, match="403"):
                await connect(bridge.url, additional_headers=headers)
        await play(bridge.url, spoken(conversation), additional_headers={"X-Twilio-Signature": signature})
        assert (await ended(bench, conversation)).file.frames == 64_000
        assert token not in bridge.log
        assert signature not in bridge.log


async def test_published_simulator_of_both_tracks_is_recorded(bench: Bench) -> None:
    """A fork of both tracks from the package streamdouble, paced as a real call is."""
    conversation = conversation_id()
    config = SessionConfig(
        fork=True,
        tracks=["inbound", "outbound"],
        agent_frames=frames(OUTBOUND[:16_000]),
        custom_parameters={"conversation_uuid": conversation},
        response_timeout_s=0.2,
        quiet_period_s=0.1,
        max_drain_s=0.5,
    )
    with BridgeProcess(bench, "twilio", SPLIT) as bridge:
        result = await asyncio.wait_for(Session(bridge.url, frames(INBOUND[:16_000]), config=config).run(), 40)
        assert result is not None
        await begun(bench, conversation)
        recording = await ended(bench, conversation)
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    expected = await reference_sha256(
        bench,
        action=SPLIT,
        legs={"caller": INBOUND[:16_000], "callee": OUTBOUND[:16_000]},
        encoding=MULAW,
        sample_rate_hz=8_000,
    )
    found = channels(bench, recording)
    assert found.shape[0] == 2
    assert np.any(found[1])
    assert recording.file.sha256 == expected

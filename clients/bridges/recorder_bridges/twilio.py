"""Twilio Media Streams: mu-law of one or both tracks in JSON messages with time stamps.

Source: Twilio's documentation "Media Streams: WebSocket messages from Twilio".
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from websockets.asyncio.server import ServerConnection

from recorder.calls import Call
from recorder.ncco import callee, caller, record_action
from recorder.v1.recording_pb2 import Leg
from recorder_bridges.errors import BadMessage, SenderLost
from recorder_bridges.placement import TimestampPlacement
from recorder_bridges.sessions import RECORDING_RATE_HZ, Limits, Recording, hold, write
from recorder_bridges.websocket import first_object, messages, parse

RATE_HZ = 8_000
_LEGS = {"inbound": "caller", "outbound": "callee"}
_KEYS = frozenset("0123456789*#ABCD")


class TwilioSession:
    """One media stream: connected, start, media and keys, stop."""

    def __init__(self, connection: ServerConnection, recording: Recording, limits: Limits) -> None:
        """Prepare a session.

        Args:
            connection: Accepted.
            recording: How to record it.
            limits: What it may use.
        """
        self._connection, self._recording, self._limits = connection, recording, limits

    async def run(self) -> None:
        """Record until either side ends it.

        Raises:
            BadMessage: If what comes is not Twilio's.
            SenderLost: If the connection ended without `stop`.
            RecorderError: If Recorder refused.
            TimeoutError: If no `start` came.
        """
        message = await first_object(self._connection, self._limits.handshake_s)
        if message.get("event") == "connected":
            message = await first_object(self._connection, self._limits.handshake_s)
        start = message.get("start")
        if message.get("event") != "start" or not isinstance(start, dict):
            raise BadMessage("the stream does not begin with connected and start")
        legs = _legs(start)
        split = record_action(split=True) if len(legs) > 1 else None
        async with self._recording.call(legs, _labels(start), default_action=split) as call:
            stream = _Stream(call, [leg.leg_id for leg in legs])
            await hold(call, lambda: self._read(stream))

    async def _read(self, stream: "_Stream") -> None:
        async for message in messages(self._connection):
            if isinstance(message, bytes):
                raise BadMessage("a binary message")
            event = parse(message)
            if event.get("event") == "stop":
                await stream.hang_up()
                return
            await stream.take(event)
        raise SenderLost("the stream ended without stop")


class _Stream:
    """The tracks of a stream, each on its leg."""

    def __init__(self, call: Call, leg_ids: list[str]) -> None:
        self._call = call
        self._legs = {leg_id: TimestampPlacement(RATE_HZ) for leg_id in leg_ids}
        # By track: whether the tracks of a stream share their numbers is not documented.
        self._last_sequences: dict[str, int] = {}

    async def take(self, event: Mapping[str, Any]) -> None:
        """Take a message; one that was seen before, and what is of no interest (mark), is dropped."""
        if self._repeated(event):
            return
        match event.get("event"):
            case "media":
                await self._audio(_part(event, "media"))
            case "dtmf":
                await self._key(_part(event, "dtmf"))

    def _repeated(self, event: Mapping[str, Any]) -> bool:
        sequence, media = _number(event.get("sequenceNumber")), event.get("media")
        if sequence is None:
            return False
        track = str(media.get("track")) if isinstance(media, dict) else ""
        if sequence <= self._last_sequences.get(track, 0):
            return True
        if track in _LEGS:
            self._last_sequences[track] = sequence
        return False

    async def hang_up(self) -> None:
        """End the call where its longer track ends."""
        end_frame = max(placement.next_frame for placement in self._legs.values())
        await self._call.close(end_frame * RECORDING_RATE_HZ // RATE_HZ)

    async def _audio(self, media: Mapping[str, Any]) -> None:
        leg_id = self._leg_id(media.get("track"))
        try:
            payload = base64.b64decode(str(media.get("payload", "")), validate=True)
        except (binascii.Error, ValueError):
            raise BadMessage("media.payload is not base64") from None
        placed = self._legs[leg_id].place(payload, len(payload), _number(media.get("timestamp")))
        if payload:
            await write(self._call, leg_id, [placed])

    async def _key(self, dtmf: Mapping[str, Any]) -> None:
        leg_id, digit = self._leg_id(dtmf.get("track")), dtmf.get("digit")
        if not isinstance(digit, str) or digit not in _KEYS:
            raise BadMessage("a dtmf without one key")
        await self._call.dtmf(leg_id, digit, self._legs[leg_id].next_frame)

    def _leg_id(self, track: object) -> str:
        leg_id = _LEGS.get(str(track).removesuffix("_track"), "")
        # A stream of one track has one leg, whichever track it is.
        leg_id = leg_id if len(self._legs) > 1 or not leg_id else next(iter(self._legs))
        if leg_id not in self._legs:
            raise BadMessage("a track that the stream does not have")
        return leg_id


def _legs(start: Mapping[str, Any]) -> list[Leg]:
    media_format, tracks = start.get("mediaFormat"), start.get("tracks")
    if not isinstance(media_format, dict) or (
        media_format.get("encoding") != "audio/x-mulaw" or _number(media_format.get("sampleRate")) != RATE_HZ
    ):
        raise BadMessage("start.mediaFormat is not audio/x-mulaw at 8000 Hz")
    names = [str(track).removesuffix("_track") for track in tracks] if isinstance(tracks, list) else []
    if not names or any(name not in _LEGS for name in names):
        raise BadMessage("start.tracks holds neither inbound nor outbound")
    return [caller("mulaw", RATE_HZ), callee("mulaw", RATE_HZ)][: len(set(names))]


def _labels(start: Mapping[str, Any]) -> dict[str, object]:
    custom = start.get("customParameters")
    labels = dict(custom) if isinstance(custom, dict) else {}
    return {**labels, **{key: start[key] for key in ("callSid", "streamSid", "accountSid") if key in start}}


def _part(event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = event.get(key)
    if not isinstance(part, dict):
        raise BadMessage(f"a {key} message without {key}")
    return part


def _number(value: object) -> int | None:
    """Read a whole number, which Twilio writes as text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None

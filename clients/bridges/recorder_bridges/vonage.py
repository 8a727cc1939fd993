"""Vonage's WebSocket media: the mix of a call in linear samples, one leg.

Source: the Vonage Voice API's WebSockets guide: first message, content types, DTMF events.
"""

import re
from collections.abc import Mapping

from websockets.asyncio.server import ServerConnection

from recorder.ncco import caller
from recorder_bridges.errors import BadMessage
from recorder_bridges.sessions import ArrivalLeg, Limits, Recording, hold
from recorder_bridges.websocket import first_object, messages, parse

LEG_ID = "caller"
_CONTENT_TYPE = re.compile(r"audio/l16; ?rate=(8000|16000|24000)")
_KEYS = frozenset("0123456789*#ABCD")
_OWN_KEYS = frozenset({"event", "content-type"})


class VonageSession:
    """One dial-in: greeting, audio, key presses, close."""

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
            BadMessage: If the greeting, or what follows, is not Vonage's.
            SenderLost: If the connection broke.
            RecorderError: If Recorder refused.
            TimeoutError: If no greeting came.
        """
        greeting = await first_object(self._connection, self._limits.handshake_s)
        rate_hz = _sample_rate_hz(greeting)
        labels = {key: value for key, value in greeting.items() if key not in _OWN_KEYS}
        async with self._recording.call([caller("linear16", rate_hz, LEG_ID)], labels) as call:
            leg = ArrivalLeg(call, LEG_ID, rate_hz)
            try:
                await hold(call, lambda: self._read(leg), leg.settling)
            except Exception:
                await leg.save()
                raise

    async def _read(self, leg: ArrivalLeg) -> None:
        async for message in messages(self._connection):
            if isinstance(message, bytes):
                await leg.audio(message)
            else:
                await _event(leg, parse(message))
        await leg.hang_up()


async def _event(leg: ArrivalLeg, event: Mapping[str, object]) -> None:
    """Take a key press; everything else that Vonage tells (cleared, notify) is about what it was sent."""
    if event.get("event") != "websocket:dtmf":
        return
    nested = event.get("dtmf")
    digit = event.get("digit", nested.get("digit") if isinstance(nested, dict) else None)
    duration_ms = event.get("duration")
    if not isinstance(digit, str) or digit not in _KEYS:
        raise BadMessage("a websocket:dtmf without one key")
    known = isinstance(duration_ms, int) and not isinstance(duration_ms, bool) and 0 < duration_ms < 60_000
    await leg.key(digit, duration_ms if known and isinstance(duration_ms, int) else None)


def _sample_rate_hz(greeting: Mapping[str, object]) -> int:
    # Nexmo's own wsbridge leaves the event out.
    if greeting.get("event", "websocket:connected") != "websocket:connected":
        raise BadMessage("the first message is no websocket:connected")
    found = _CONTENT_TYPE.fullmatch(str(greeting.get("content-type", "")).strip())
    if found is None:
        raise BadMessage("content-type is not audio/l16 at 8000, 16000 or 24000 Hz")
    return int(found[1])

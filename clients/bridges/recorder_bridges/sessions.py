"""One sender's call: opened with Recorder, fed from the connection, ended by whichever side ends it."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from recorder.calls import Call
from recorder.errors import RecorderError
from recorder.line import CallSettings
from recorder.ncco import start_call
from recorder.v1.recorder_service_pb2 import StartCall
from recorder.v1.recording_pb2 import Leg
from recorder_bridges.errors import BadMessage, SenderLost
from recorder_bridges.placement import SETTLE_MS, ArrivalPlacement, Placed

RECORDING_RATE_HZ = 16_000
_MAX_LABELS = 32
_MAX_KEY_CHARS = 64
_MAX_VALUE_CHARS = 512

log = logging.getLogger("recorder_bridges")


class CallRecorder(Protocol):
    """Begins recordings: the client."""

    def record_call(self, start: StartCall, settings: CallSettings | None = None) -> Call:
        """Prepare the recording of a call."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sender may use.

    Attributes:
        connections: Most senders at once.
        message_bytes: Largest message.
        handshake_s: How long the first words may take.
        idle_s: How long a sender may stay without a sign of life.
    """

    connections: int = 200
    message_bytes: int = 65_536
    handshake_s: float = 10.0
    idle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Recording:
    """How calls are recorded.

    Attributes:
        client: The client.
        action: The NCCO record action for every call; None means the bridge's default.
    """

    client: CallRecorder
    action: Mapping[str, Any] | None = None

    def call(
        self,
        legs: list[Leg],
        labels: Mapping[str, object],
        *,
        recording_id: str = "",
        default_action: Mapping[str, Any] | None = None,
    ) -> Call:
        """Prepare a call. A label `conversation_uuid` of the form CON-UUID becomes the conversation's id.

        Args:
            legs: The parties.
            labels: What the sender tells of the call; only what Recorder can keep is kept.
            recording_id: Its id; empty lets the client choose.
            default_action: For when the bridge was given none.
        """
        conversation_id = str(labels.get("conversation_uuid", ""))
        start = start_call(
            legs,
            self.action if self.action is not None else default_action,
            conversation_id=conversation_id if _is_conversation(conversation_id) else "",
            metadata=_kept(labels),
        )
        start.recording_id = recording_id
        return self.client.record_call(start)


class ArrivalLeg:
    """One leg of linear samples, placed by arrival."""

    def __init__(self, call: Call, leg_id: str, sample_rate_hz: int) -> None:
        """Begin at the first samples.

        Args:
            call: Entered.
            leg_id: The leg's name.
            sample_rate_hz: Its rate.
        """
        self._call, self._leg_id, self._rate_hz = call, leg_id, sample_rate_hz
        self._placement = ArrivalPlacement(sample_rate_hz)
        self._writing = asyncio.Lock()

    async def audio(self, payload: bytes) -> None:
        """Take samples that have just arrived."""
        now_s = asyncio.get_running_loop().time()
        async with self._writing:
            await write(self._call, self._leg_id, self._placement.push(payload, now_s))

    async def key(self, digit: str, duration_ms: int | None = None) -> None:
        """Take a key press of this moment."""
        frame = self._placement.frame_at(asyncio.get_running_loop().time())
        await self._call.dtmf(self._leg_id, digit, frame, duration_ms)

    async def hang_up(self) -> None:
        """End the call at this moment: silence before it counts."""
        async with self._writing:
            await write(self._call, self._leg_id, self._placement.flush())
        end_frame = self._placement.end_frame(asyncio.get_running_loop().time())
        await self._call.close(end_frame * RECORDING_RATE_HZ // self._rate_hz)

    async def save(self) -> None:
        """Write what is held, without an end."""
        async with self._writing:
            await write(self._call, self._leg_id, self._placement.flush())

    async def settling(self) -> None:
        """Write what was held long enough, for ever."""
        while True:
            await asyncio.sleep(SETTLE_MS / 1000)
            async with self._writing:
                placed = self._placement.settle(asyncio.get_running_loop().time())
                await write(self._call, self._leg_id, placed)


async def write(call: Call, leg_id: str, placed: Iterable[Placed]) -> None:
    """Write placed samples of a leg."""
    for piece in placed:
        await call.write({leg_id: piece.payload}, {leg_id: piece.start_frame})


async def hold(
    call: Call, read: Callable[[], Coroutine[Any, Any, None]], *beside: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Read a sender until it hangs up, or the recording has stopped.

    Args:
        call: Entered.
        read: Reads until the sender's hang-up.
        beside: What runs as long.

    Raises:
        BadMessage: As `read` does.
        SenderLost: As `read` does.
        RecorderError: If the recording failed for good.
    """
    tasks = [asyncio.create_task(work()) for work in (read, lambda: _stopped(call), *beside)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def guarded(what: str, session: Awaitable[None], refuse: Callable[[str], Awaitable[None]]) -> None:
    """Run a sender's session to its end; whatever ends it early ends nothing else.

    Args:
        what: What it is, for the log.
        session: The session.
        refuse: Ends the connection, telling the sender why in a few words.
    """
    try:
        await session
    except BadMessage as error:
        log.warning("%s: refused: %s", what, error)
        await refuse(str(error))
    except SenderLost as error:
        log.warning("%s: interrupted: %s", what, error)
    except RecorderError as error:
        log.warning("%s: recorder refused: %s (%s)", what, error.reason, error.message)
        await refuse("not recorded")
    except TimeoutError:
        log.warning("%s: nothing was said in time", what)
        await refuse("timeout")


async def _stopped(call: Call) -> None:
    async for message in call.events():
        if message.HasField("stopped"):
            return


def _kept(labels: Mapping[str, object]) -> dict[str, str]:
    kept = {
        key: str(value)[:_MAX_VALUE_CHARS]
        for key, value in labels.items()
        if 0 < len(key) <= _MAX_KEY_CHARS and isinstance(value, str | int | float | bool) and value != ""
    }
    return dict(list(kept.items())[:_MAX_LABELS])


def _is_conversation(text: str) -> bool:
    try:
        return text.startswith("CON-") and text[4:] == str(uuid.UUID(text[4:]))
    except ValueError:
        return False

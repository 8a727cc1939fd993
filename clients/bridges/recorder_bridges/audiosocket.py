"""Asterisk's AudioSocket: one leg of linear samples over TCP, in small frames of kind, length and payload.

Source: Asterisk's documentation "AudioSocket"; kinds 0x11 to 0x18 came with Asterisk 23.
"""

import asyncio
import uuid
from dataclasses import dataclass

from recorder.ncco import caller
from recorder_bridges.admission import Admission, Caller
from recorder_bridges.errors import BadMessage, SenderLost
from recorder_bridges.sessions import ArrivalLeg, Limits, Recording, guarded, hold, log

LEG_ID = "caller"
HANGUP, UUID, DTMF, ERROR = 0x00, 0x01, 0x03, 0xFF
RATES_HZ = dict(enumerate((8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000), 0x10))
_RECORDED_RATES_HZ = frozenset({8_000, 16_000, 24_000, 32_000, 44_100, 48_000})
_HEADER_BYTES = 3
_KEYS = frozenset("0123456789*#ABCD")
_GOODBYE_S = 5.0
_STOP_S = 15.0


@dataclass(frozen=True, slots=True)
class Frame:
    """What one frame says."""

    kind: int
    payload: bytes


class FrameReader:
    """Reads frames off a connection."""

    def __init__(self, reader: asyncio.StreamReader, limits: Limits) -> None:
        """Read from a connection.

        Args:
            reader: The connection.
            limits: How large a frame may be, and how long it may take.
        """
        self._reader, self._limits = reader, limits

    async def read(self, timeout_s: float | None = None) -> Frame:
        """Give the next frame.

        Raises:
            BadMessage: If it is larger than allowed.
            SenderLost: If the connection ended, or nothing came for too long.
            TimeoutError: If nothing came within `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s or self._limits.idle_s):
                header = await self._reader.readexactly(_HEADER_BYTES)
                size_bytes = int.from_bytes(header[1:], "big")
                if size_bytes > self._limits.message_bytes:
                    raise BadMessage(f"a frame of {size_bytes} bytes")
                return Frame(header[0], await self._reader.readexactly(size_bytes))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise SenderLost("the connection ended without a hang-up") from None
        except TimeoutError:
            if timeout_s is not None:
                raise
            raise SenderLost(f"nothing came for {self._limits.idle_s:g} s") from None


class AudioSocketSession:
    """One call of Asterisk's: its UUID, audio and keys, hang-up. The UUID is the recording's id."""

    def __init__(self, frames: FrameReader, recording: Recording, limits: Limits, live_ids: set[str]) -> None:
        """Prepare a session.

        Args:
            frames: What comes.
            recording: How to record it.
            limits: What it may use.
            live_ids: Ids of the calls that run: nobody else may take one over.
        """
        self._frames, self._recording, self._limits, self._live_ids = frames, recording, limits, live_ids

    async def run(self) -> None:
        """Record until either side ends it. The recording begins with the first audio, which tells the rate.

        Raises:
            BadMessage: If what comes is not AudioSocket's.
            SenderLost: If the connection broke.
            RecorderError: If Recorder refused.
            TimeoutError: If no UUID and audio came.
        """
        recording_id = await self._id()
        if recording_id in self._live_ids:
            raise BadMessage("its UUID is in use")
        self._live_ids.add(recording_id)
        try:
            first = await self._first_audio()
            if first is not None:
                await self._record(recording_id, first)
        finally:
            self._live_ids.discard(recording_id)

    async def _id(self) -> str:
        frame = await self._frames.read(self._limits.handshake_s)
        if frame.kind != UUID or len(frame.payload) != 16:
            raise BadMessage("the first frame is no UUID")
        return str(uuid.UUID(bytes=frame.payload))

    async def _first_audio(self) -> Frame | None:
        """Wait for audio; None when the call ends before."""
        while (frame := await self._frames.read()).kind not in RATES_HZ:
            if frame.kind == HANGUP:
                return None
            _check(frame)
        if RATES_HZ[frame.kind] not in _RECORDED_RATES_HZ:
            raise BadMessage(f"audio at {RATES_HZ[frame.kind]} Hz")
        return frame

    async def _record(self, recording_id: str, first: Frame) -> None:
        rate_hz = RATES_HZ[first.kind]
        labels = {"audiosocket_uuid": recording_id}
        legs = [caller("linear16", rate_hz, LEG_ID)]
        async with self._recording.call(legs, labels, recording_id=recording_id) as call:
            leg = ArrivalLeg(call, LEG_ID, rate_hz)
            await leg.audio(first.payload)
            try:
                await hold(call, lambda: self._read(leg, first.kind), leg.settling)
            except Exception:
                await leg.save()
                raise

    async def _read(self, leg: ArrivalLeg, audio_kind: int) -> None:
        while (frame := await self._frames.read()).kind != HANGUP:
            if frame.kind == audio_kind:
                await leg.audio(frame.payload)
            elif frame.kind in RATES_HZ:
                raise BadMessage("audio at another rate than before")
            elif frame.kind == DTMF:
                await leg.key(_key(frame))
            else:
                _check(frame)
        await leg.hang_up()


class AudioSocketServer:
    """Accepts Asterisk's connections, each in a session of its own.

    Args:
        recording: How calls are recorded.
        admission: Who may come in.
        limits: What a sender may use.
    """

    def __init__(self, recording: Recording, admission: Admission, limits: Limits) -> None:
        self._recording, self._admission, self._limits = recording, admission, limits
        self._live_ids: set[str] = set()
        self._places = asyncio.Semaphore(limits.connections)
        self._readers: set[asyncio.StreamReader] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin; gives the port, which is a free one for 0."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=2 * self._limits.message_bytes)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Accept no more, and end what runs as if the senders were lost: what they sent is saved."""
        if self._server is None:
            return
        self._server.close()
        for reader in self._readers:
            reader.feed_eof()
        async with asyncio.timeout(_STOP_S):
            while self._readers:  # noqa: ASYNC110 - at the end of the process
                await asyncio.sleep(0.05)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str((writer.get_extra_info("peername") or ("",))[0])
        self._readers.add(reader)
        try:
            if (refusal := self._admission.refusal(Caller(address))) is not None:
                log.warning("audiosocket: %s was turned away: %s", address, refusal)
            elif self._places.locked():
                log.warning("audiosocket: full, %d senders are here", self._limits.connections)
            else:
                async with self._places:
                    frames = FrameReader(reader, self._limits)
                    session = AudioSocketSession(frames, self._recording, self._limits, self._live_ids)
                    await guarded(f"audiosocket {address}", session.run(), _refuse)
        finally:
            await _close(writer)
            self._readers.discard(reader)


async def _refuse(_: str) -> None:
    """Say nothing: AudioSocket has no words for a refusal, the connection just ends."""


async def _close(writer: asyncio.StreamWriter) -> None:
    """Hang up and close, whether or not anybody listens any more."""
    try:
        async with asyncio.timeout(_GOODBYE_S):
            writer.write(bytes((HANGUP, 0, 0)))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    except (TimeoutError, OSError):
        writer.transport.abort()


def _key(frame: Frame) -> str:
    digit = frame.payload.decode("latin-1")
    if digit not in _KEYS:
        raise BadMessage("a DTMF frame without one key")
    return digit


def _check(frame: Frame) -> None:
    """Let pass what does not matter here; kinds that nobody knows mean that this is something else."""
    if frame.kind == ERROR:
        raise SenderLost("Asterisk reports an error")
    if frame.kind not in {UUID, DTMF, *RATES_HZ}:
        raise BadMessage(f"a frame of kind {frame.kind:#04x}")

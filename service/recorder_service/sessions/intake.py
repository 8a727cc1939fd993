"""Checks what arrives, before anything of it is written down."""

from collections.abc import Sequence
from typing import Protocol

from recorder_service.audio.timeline import MAX_GAP_FRAMES
from recorder_service.errors import BadInput, Reason
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.entries import Chunk
from recorder_service.sessions.leg import Leg
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.pauses import Pauses
from recorder_service.sessions.roster import Roster

MAX_CHUNK_BYTES = 64 * 1024
MAX_CHUNKS = 64


class AudioChunk(Protocol):
    """A chunk as it arrives; the contract's message is one."""

    @property
    def leg_id(self) -> str:
        """The leg."""

    @property
    def start_frame(self) -> int:
        """Position in the leg's own rate."""

    @property
    def payload(self) -> bytes:
        """Whole frames."""


class Intake:
    """The checks of one recording.

    Attributes:
        dropped_frame: How far audio reached that pauses dropped, in recording frames: it tells the time all the same.
    """

    def __init__(self, path: AudioPath, roster: Roster, pauses: Pauses, clock: MediaClock) -> None:
        """Check against the legs of `roster`, which are those of `path`, the `pauses` and the `clock`."""
        self._path = path
        self._roster = roster
        self._pauses = pauses
        self._clock = clock
        self.dropped_frame = 0

    def audio(self, chunks: Sequence[AudioChunk], feed: int = 0) -> list[Chunk]:
        """Return what may be kept of one message of a stream; empty if all of it falls into a pause.

        Raises:
            BadInput: INVALID_MESSAGE, INVALID_FIELD, UNKNOWN_LEG, PARTIAL_FRAME or FRAME_OUT_OF_RANGE.
        """
        if not 0 < len(chunks) <= MAX_CHUNKS:
            message = f"audio holds {len(chunks)} chunks; send 1 to {MAX_CHUNKS} in a message"
            raise BadInput(Reason.INVALID_MESSAGE, message, field="audio.chunks", value=len(chunks))
        legs, tracks = self._roster.legs(feed), self._path.tracks
        kept: list[Chunk] = []
        cut = self._pauses.any
        try:
            # One pass, each field read once: this is done for every message.
            for chunk in chunks:
                leg = legs.get(chunk.leg_id) or self._roster.find(feed, chunk.leg_id)
                start_frame, payload = chunk.start_frame, chunk.payload
                size_bytes = len(payload)
                # Nearly always a chunk follows the one before; then there is nothing to judge.
                track = tracks[leg.track]
                if (
                    start_frame != track.end_frame
                    or leg.moved
                    or size_bytes > MAX_CHUNK_BYTES
                    or size_bytes % track.frame_size
                ):
                    self._check(leg, start_frame, _size_bytes(payload), self._clock.now_frame())
                cut = cut or leg.mutes.any
                kept.append(Chunk(leg.index, start_frame, payload))
        except BadInput as error:
            error.details["field"] = f"audio.chunks.{error.details['field']}"
            raise
        return self._outside_pauses(kept) if cut else kept

    def check_frame(self, frame: int, field: str) -> None:
        """Refuse a position in recording frames that lies before the recording or too far ahead of it.

        Raises:
            BadInput: FRAME_OUT_OF_RANGE.
        """
        limit_frame = max(self._path.furthest_frame, self._clock.now_frame()) + MAX_GAP_FRAMES
        if not 0 <= frame <= limit_frame:
            message = (
                f"{field} is {frame} but must be 0 to {limit_frame}: count 16 kHz frames since the recording began"
            )
            raise BadInput(Reason.FRAME_OUT_OF_RANGE, message, field=field, value=frame)

    def recording_frame(self, leg_id: str, frame: int, feed: int = 0) -> int:
        """Turn a position in a leg's own rate into one of the recording.

        Raises:
            BadInput: UNKNOWN_LEG or FRAME_OUT_OF_RANGE.
        """
        leg = self._leg(feed, leg_id, "dtmf.leg_id")
        try:
            self._check(leg, frame, 0, self._clock.now_frame())
        except BadInput as error:
            error.details["field"] = "dtmf.frame"
            raise
        return leg.recording_frame(frame)

    def _leg(self, feed: int, leg_id: str, field: str) -> Leg:
        try:
            return self._roster.find(feed, leg_id)
        except BadInput as error:
            error.details["field"] = field
            raise

    def _check(self, leg: Leg, start_frame: int, size_bytes: int, now_frame: int) -> None:
        if not leg.moved or start_frame < 0:
            self._path.check(leg.track, start_frame, size_bytes, now_frame)
            return
        # What a stream sent before the recording began is no fault of its sender.
        self._path.check(leg.track, max(0, leg.place(start_frame)), size_bytes, now_frame)

    def _outside_pauses(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        kept = []
        for chunk in chunks:
            leg = self._roster.stays[chunk.leg]
            place = leg.place(chunk.start_frame)
            end_frame = place + leg.format.frame_count(len(chunk.payload))
            self.dropped_frame = max(self.dropped_frame, leg.format.recording_frame(end_frame))
            self._clock.saw(self.dropped_frame)
            for start, part in self._pauses.keep(leg.format, place, chunk.payload):
                for at, payload in leg.mutes.keep(leg.format, start, part):
                    kept.append(Chunk(leg.index, chunk.start_frame + at - place, payload))
        return kept


def _size_bytes(payload: bytes) -> int:
    """Return the size of a payload.

    Raises:
        BadInput: INVALID_FIELD, it is too long.
    """
    size_bytes = len(payload)
    if size_bytes > MAX_CHUNK_BYTES:
        message = f"payload has {size_bytes} bytes; send at most {MAX_CHUNK_BYTES} in a chunk"
        raise BadInput(Reason.INVALID_FIELD, message, field="payload", value=size_bytes)
    return size_bytes

"""Checks what arrives, before anything of it is written down."""

from collections.abc import Sequence
from typing import Protocol

from recorder_service.audio.timeline import MAX_GAP_FRAMES
from recorder_service.errors import BadInput, Reason
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.entries import Chunk
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.pauses import Pauses

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

    def __init__(self, path: AudioPath, pauses: Pauses, clock: MediaClock) -> None:
        """Check against the legs of `path`, the `pauses` and the `clock`."""
        self._path = path
        self._pauses = pauses
        self._clock = clock
        self.dropped_frame = 0
        self._leg_index = {leg_id: index for index, leg_id in enumerate(path.legs)}

    def audio(self, chunks: Sequence[AudioChunk]) -> list[Chunk]:
        """Return what may be kept of one message; empty if all of it falls into a pause.

        Raises:
            BadInput: INVALID_MESSAGE, INVALID_FIELD, UNKNOWN_LEG, PARTIAL_FRAME or FRAME_OUT_OF_RANGE.
        """
        if not 0 < len(chunks) <= MAX_CHUNKS:
            message = f"audio holds {len(chunks)} chunks; send 1 to {MAX_CHUNKS} in a message"
            raise BadInput(Reason.INVALID_MESSAGE, message, field="audio.chunks", value=len(chunks))
        now_frame = self._clock.now_frame()
        for chunk in chunks:
            size_bytes = len(chunk.payload)
            if size_bytes > MAX_CHUNK_BYTES:
                message = f"payload has {size_bytes} bytes; send at most {MAX_CHUNK_BYTES} in a chunk"
                raise BadInput(Reason.INVALID_FIELD, message, field="audio.chunks.payload", value=size_bytes)
            self._check_place(chunk, size_bytes, now_frame)
        if self._pauses.intervals:
            return self._outside_pauses(chunks)
        return [Chunk(self._leg_index[chunk.leg_id], chunk.start_frame, chunk.payload) for chunk in chunks]

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

    def recording_frame(self, leg_id: str, frame: int) -> int:
        """Turn a position in a leg's own rate into one of the recording.

        Raises:
            BadInput: UNKNOWN_LEG or FRAME_OUT_OF_RANGE.
        """
        try:
            self._path.check(leg_id, frame, 0, self._clock.now_frame())
        except BadInput as error:
            error.details["field"] = "dtmf.leg_id" if error.reason is Reason.UNKNOWN_LEG else "dtmf.frame"
            raise
        return self._path.legs[leg_id].format.recording_frame(frame)

    def _check_place(self, chunk: AudioChunk, size_bytes: int, now_frame: int) -> None:
        try:
            self._path.check(chunk.leg_id, chunk.start_frame, size_bytes, now_frame)
        except BadInput as error:
            error.details["field"] = f"audio.chunks.{error.details['field']}"
            raise

    def _outside_pauses(self, chunks: Sequence[AudioChunk]) -> list[Chunk]:
        kept = []
        for chunk in chunks:
            leg_format = self._path.legs[chunk.leg_id].format
            end_frame = chunk.start_frame + leg_format.frame_count(len(chunk.payload))
            self.dropped_frame = max(self.dropped_frame, leg_format.recording_frame(end_frame))
            self._clock.saw(self.dropped_frame)
            parts = self._pauses.keep(leg_format, chunk.start_frame, chunk.payload)
            kept += [Chunk(self._leg_index[chunk.leg_id], start, payload) for start, payload in parts]
        return kept

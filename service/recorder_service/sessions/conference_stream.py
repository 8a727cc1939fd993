"""One stream of a conference: what it brings, and what becomes of it when its line is lost."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from recorder_service.domain.event import KeyPress
from recorder_service.domain.recording import PauseMode, StopReason
from recorder_service.errors import Overloaded, RecorderError, Unavailable
from recorder_service.sessions.acknowledgements import Acknowledgements
from recorder_service.sessions.arrivals import Arrivals
from recorder_service.sessions.conference_values import JoinLeg
from recorder_service.sessions.feed import Feed
from recorder_service.sessions.intake import AudioChunk
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.membership import Wait
from recorder_service.sessions.notices import Ended, Outlet
from recorder_service.sessions.roster import unknown_leg
from recorder_service.sessions.surroundings import Background

if TYPE_CHECKING:
    from recorder_service.sessions.conference import Conference

log = structlog.get_logger(__name__)

_DURABLE_TIMEOUT_S = 10.0
# How long a stream that came back may leave its legs silent before the others' audio goes on without it.
_CATCH_UP_S = 10.0
_CLOSE_ENOUGH_FRAMES = 16_000


class ConferenceStream:
    """Belongs to the event loop.

    Attributes:
        stream_id: Chosen by the client.
        number: Its number in the conference.
        feed: The way back, and what is acknowledged on it.
        origin_frame: Where its position 0 lies, in frames of the conference.
        followed: Whether its sender's clock is followed.
    """

    def __init__(
        self,
        stream_id: UUID,
        feed: Feed,
        conference: "Conference",
        *,
        origin_frame: int,
        followed: bool,
        journal: Journal,
        background: Background,
    ) -> None:
        """Take over a feed."""
        self.stream_id = stream_id
        self.feed = feed
        self.number = feed.number
        self.origin_frame = origin_frame
        self.followed = followed
        self.conference = conference
        self._journal = journal
        self._background = background
        self._arrivals = Arrivals()
        self._catching_up: asyncio.TimerHandle | None = None
        feed.on_lost = self._lose

    @property
    def acks(self) -> Acknowledgements:
        """What was received and is acknowledged."""
        return self.feed.acks

    @property
    def next_sequence(self) -> int:
        """The request that is due."""
        return self.acks.next_sequence

    @property
    def over(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.conference.ended or self.number not in self.conference.streams

    def congested(self) -> bool:
        """Whether the sender should wait in `room`."""
        live = self._recorder()
        return live is not None and live.congested(self.number)

    async def room(self) -> None:
        """Wait until a sender that is faster than real time may go on."""
        if (live := self._recorder()) is not None:
            await live.room(self.number)

    def attach(self, outlet: Outlet, ack_interval_s: float) -> None:
        """Let an RPC carry the stream; one that did so before is ended with STREAM_REPLACED."""
        self.feed.attach(outlet, ack_interval_s)
        if (live := self._live()) is not None:
            live.measure(self.number)
        self._await_catching_up()

    def detach(self, outlet: Outlet) -> None:
        """Note that the RPC is gone. Without another one in time the legs of the stream leave."""
        if self.feed.detach(outlet) and not self.over:
            log.info("conference_stream_lost", conversation_id=self.conference.conversation_id)
            self.await_stream()

    def await_stream(self) -> None:
        """Give an RPC its time to come, and let the others' audio wait for what it will bring."""
        self._stop_catching_up()
        if (live := self._live()) is not None:
            with contextlib.suppress(Overloaded, Unavailable):
                live.enact(Wait(0, self.number, waiting=True))
        self.feed.wait()

    # What the stream brings

    def receive_audio(self, sequence: int, chunks: Sequence[AudioChunk]) -> None:
        """Take the audio of one message: all of it or, on an error, nothing. Without a recording it is let go.

        Raises:
            BadInput: A chunk does not fit.
            Conflict: SEQUENCE_GAP.
            Overloaded: The journal has no room.
            Unavailable: The journal failed.
        """
        live = self._recorder()
        if live is None:
            if self.acks.is_due(sequence):
                for chunk in chunks:
                    self._check_leg(chunk.leg_id)
                self.acks.accept(0)
            return
        due = sequence == self.acks.next_sequence
        live.receive_audio(sequence, chunks, self.number)
        if due and live.ending is None and live.roster.sources[self.number].followed:
            self._observe(live, chunks)
        if self._catching_up is not None:
            self._look_whether_caught_up(live)

    def receive_key(self, sequence: int, leg_id: str, press: KeyPress) -> None:
        """Take a key press whose frame is in the leg's own rate."""
        live = self._recorder()
        if live is None:
            if self.acks.is_due(sequence):
                self._check_leg(leg_id)
                self.acks.accept(0)
            return
        if not self.acks.is_due(sequence):
            return
        frame = live.recording_frame(leg_id, press.frame, self.number)
        placed = KeyPress(leg_id, press.digit, frame, press.duration_ms)
        live.receive_key(sequence, placed, self.number)

    async def join(self, sequence: int, leg: JoinLeg) -> None:
        """Let a leg in; durable where a recording runs when this returns."""

        async def work() -> None:
            async with self.conference.lock:
                if self._due(sequence):
                    await self._journal.wait_durable(
                        await self.conference.join(self, sequence, leg), _DURABLE_TIMEOUT_S
                    )

        await self._background.run(work(), f"join:{self.stream_id}")

    async def leave(self, sequence: int, leg_id: str, frame: int | None) -> None:
        """Let a leg go."""
        async with self.conference.lock:
            if self._due(sequence):
                self.conference.leave(self, sequence, leg_id, frame)

    async def mute(self, sequence: int, leg_id: str, frame: int | None, *, muted: bool) -> None:
        """Mute or unmute a leg."""
        async with self.conference.lock:
            if self._due(sequence):
                self.conference.mute(self, sequence, leg_id, frame, muted=muted)

    async def pause(self, sequence: int, mode: PauseMode, frame: int | None) -> None:
        """Pause the recording that runs."""
        if (live := self._recorder()) is not None:
            await live.pause(mode, frame, sequence, self.number)
        elif self.acks.is_due(sequence):
            self.acks.accept(0)

    async def resume(self, sequence: int, frame: int | None) -> None:
        """End the pause of the recording that runs."""
        if (live := self._recorder()) is not None:
            await live.resume(frame, sequence, self.number)
        elif self.acks.is_due(sequence):
            self.acks.accept(0)

    def stop(self, sequence: int, frame: int | None) -> None:
        """End the recording that runs; the conference goes on."""
        if (live := self._recorder()) is not None:
            live.stop(StopReason.REQUESTED, frame, sequence, self.number)
        elif self.acks.is_due(sequence):
            self.acks.accept(0)

    async def close(self, sequence: int) -> None:
        """End the stream in order; its last message comes when that is durable, or the conference has ended."""
        async with self.conference.lock:
            if not self._due(sequence):
                return
            self._stop_catching_up()
            lsn = self.conference.close(self, sequence)
            if not self.conference.ended:
                self._background.spawn(self._say_goodbye(lsn), name=f"close:{self.stream_id}")

    def check_frame(self, frame: int, field: str) -> None:
        """Refuse a position in recording frames that cannot be meant: BadInput, FRAME_OUT_OF_RANGE."""
        if (live := self._recorder()) is not None:
            live.check_frame(frame, field)

    # Inside

    def _recorder(self) -> LiveRecording | None:
        """Return the recording that this stream's requests belong to."""
        live = self.conference.live
        return live if live is not None and self.number in live.feeds else None

    def _live(self) -> LiveRecording | None:
        live = self._recorder()
        return None if live is None or live.ending is not None else live

    def _due(self, sequence: int) -> bool:
        """Say whether a request that changes who is there is due; once the conference has ended, none is."""
        if not self.acks.is_due(sequence):
            return False
        if not self.over:
            return True
        if self._recorder() is not None:
            self.acks.pass_over()
        else:
            self.acks.accept(0)
        return False

    def _check_leg(self, leg_id: str) -> None:
        member = self.conference.members.get(leg_id)
        if not self.over and (member is None or member.stream is not self):
            raise unknown_leg(leg_id)

    def _observe(self, live: LiveRecording, chunks: Sequence[AudioChunk]) -> None:
        legs = live.roster.sources[self.number].legs
        media_frame = 0
        for chunk in chunks:
            leg_format = legs[chunk.leg_id].format
            end_frame = chunk.start_frame + len(chunk.payload) // leg_format.bytes_per_frame
            media_frame = max(media_frame, leg_format.recording_frame(end_frame))
        seen = self._arrivals.saw(self.number, media_frame, self.conference.recording_now())
        # A busy node would take its own lateness for the sender's, and move what is in its place.
        if seen is not None and not live.late:
            live.enact(seen)

    def _await_catching_up(self) -> None:
        live = self._live()
        if live is None or not live.roster.source(self.number).waiting:
            return
        self._stop_catching_up()
        self._catching_up = asyncio.get_running_loop().call_later(_CATCH_UP_S, self._caught_up)

    def _look_whether_caught_up(self, live: LiveRecording) -> None:
        if live.ending is not None or live.roster.reach(self.number) + _CLOSE_ENOUGH_FRAMES >= live.furthest_frame:
            self._caught_up()
        else:
            self._await_catching_up()

    def _caught_up(self) -> None:
        self._stop_catching_up()
        if (live := self._live()) is not None:
            with contextlib.suppress(Overloaded, Unavailable):
                live.enact(Wait(0, self.number, waiting=False))

    def _stop_catching_up(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
            self._catching_up = None

    def _lose(self) -> None:
        self._background.spawn(self._leave_lost(), name=f"lost:{self.stream_id}")

    async def _leave_lost(self) -> None:
        """Let the legs of a stream go that nobody resumed."""
        async with self.conference.lock:
            if self.feed.attached or self.over:
                return
            try:
                self.conference.close(self, 0, StopReason.INTERRUPTED)
            except RecorderError as error:
                # Without the journal nothing can be said for good: it is tried again.
                log.warning("conference_stream_kept", reason=error.reason.name)
                self.feed.wait()

    async def _say_goodbye(self, lsn: int) -> None:
        with contextlib.suppress(RecorderError):
            await self._journal.wait_durable(lsn, _DURABLE_TIMEOUT_S)
            self.acks.tell()
            self.feed.notify(Ended(conference_ended=False))

"""One live recording: what comes in is checked, written down, acknowledged, and turned into a file.

A call is a recording with one feed, number 0. A conference's recording has a feed for each of its streams; they live
longer than the recording, and who is in it is told by the entries of `membership`.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

import structlog

from recorder_service.domain.event import KeyPress
from recorder_service.domain.recording import (
    PauseMode,
    RecordedLeg,
    Recording,
    RecordingKind,
    RecordingState,
    StopReason,
)
from recorder_service.errors import Overloaded, Unavailable
from recorder_service.sessions import entries
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.ending import Ending
from recorder_service.sessions.facts import Facts
from recorder_service.sessions.feed import Feed
from recorder_service.sessions.intake import AudioChunk
from recorder_service.sessions.membership import Membership, OpenFeed
from recorder_service.sessions.notices import Notice, Outlet
from recorder_service.sessions.recording_parts import Acts, assemble
from recorder_service.sessions.replaying import Replaying
from recorder_service.sessions.stop_rules import StopRules
from recorder_service.sessions.story import RUNNING
from recorder_service.sessions.surroundings import Surroundings

log = structlog.get_logger(__name__)


class LiveRecording:
    """A recording from its start to its last state. Belongs to the event loop.

    Attributes:
        feeds: The streams that feed it, by number.
        roster: Who is in it.
    """

    def __init__(
        self, recording: Recording, *, path: AudioPath, rules: StopRules, facts: Facts, around: Surroundings
    ) -> None:
        """Take over a recording that is in the catalog already."""
        self._id = recording.recording_id
        self._path = path
        self._rules = rules
        self._around = around
        self.feeds: dict[int, Feed] = {}
        acts = Acts(self._write, self._end_by_rule, self._end_at_limit, self._settle_silence)
        self._parts = parts = assemble(recording, path, rules, facts, around, self.feeds, acts)
        self.roster = parts.roster
        self._watch = parts.watch
        self._end_of_it = Ending(parts)
        self._replay = Replaying(parts)
        if recording.kind is RecordingKind.CALL:
            self._feed(0).on_lost = partial(self.end, StopReason.INTERRUPTED)

    @property
    def recording(self) -> Recording:
        """The recording as it stands now."""
        return self._parts.story.recording

    @property
    def feed(self) -> Feed:
        """The stream that feeds a call."""
        return self.feeds[0]

    @property
    def next_sequence(self) -> int:
        """The sequence that is due next in a call."""
        return self.feed.acks.next_sequence

    @property
    def over(self) -> bool:
        """Whether something ended it."""
        return self._end_of_it.task is not None

    @property
    def concluded(self) -> bool:
        """Whether its end is in the journal: nothing that comes now has anything to do with it."""
        return self._end_of_it.concluded

    @property
    def received(self) -> tuple[RecordedLeg, ...]:
        """The legs with what came of each so far."""
        legs = self.recording.legs
        # Once it has ended they are summed up, and the path may be gone.
        return legs if self.recording.stop_reason is not None else self._parts.received()

    @property
    def ending(self) -> asyncio.Task[None] | None:
        """The task that ends the recording, once something ended it."""
        return self._end_of_it.task

    @property
    def busy(self) -> bool:
        """Whether a stream feeds it or it is being finished."""
        return self.over or any(feed.attached for feed in self.feeds.values())

    @property
    def goes_on(self) -> bool:
        """Whether neither a stream nor, after a restart, the journal or the catalog says that it has ended."""
        return not self.over and self._replay.end is None and self.recording.state in RUNNING

    @property
    def furthest_frame(self) -> int:
        """One past the last recording frame that audio was placed at."""
        return self._path.furthest_frame

    def congested(self, feed: int = 0) -> bool:
        """Whether the sender of a stream should wait in `room`."""
        return self._parts.pressure.high or (self.late and self.feeds[feed].waits(self._reach(feed)))

    @property
    def late(self) -> bool:
        """Whether the node is behind: when something arrives then says nothing about its sender."""
        return self._around.brake.on

    async def room(self, feed: int = 0) -> None:
        """Wait until a sender that is faster than real time may go on."""
        await self._parts.pressure.room(self.feeds[feed], self._reach(feed))

    # The stream that feeds a call

    def attach(self, outlet: Outlet, ack_interval_s: float) -> None:
        """Let a stream feed the call; one that did so before is ended with STREAM_REPLACED.

        Raises:
            Overloaded: The journal has no room.
            Unavailable: The journal failed.
        """
        if self.next_sequence == 1 and not self.over:
            # A former run ended between the catalog's word of the start and the journal's.
            self.begin()
        self.feed.attach(outlet, ack_interval_s)
        self.measure(0)
        if not self.over:
            self.run_clock(max(self._path.furthest_frame, self._parts.intake.dropped_frame))

    def detach(self, outlet: Outlet) -> None:
        """Note that a stream is gone. Without another one in time the recording ends as interrupted."""
        if self.feed.detach(outlet) and not self.over:
            log.info("stream_lost", recording_id=str(self._id))
            self.await_stream()

    def await_stream(self) -> None:
        """Give the stream of a call its time to come."""
        self._watch.stop()
        self.feed.wait()

    def run_clock(self, frame: int) -> None:
        """Let the clock act on the rules from now on, which is this recording frame."""
        self._parts.clock.restart(frame)
        self._watch.start()

    def measure(self, feed: int) -> None:
        """Judge from now on how fast a stream is."""
        self.feeds[feed].measure(self._around.brake, self._reach(feed))

    def notify(self, notice: Notice) -> None:
        """Pass a notice to every stream."""
        for feed in self.feeds.values():
            feed.notify(notice)

    def discard(self) -> None:
        """Give up what was built for a recording that does not begin."""
        self._path.discard()

    # What the streams bring

    def begin(self) -> int:
        """Write down that the recording began, with request 1 of a call; returns the entry to wait for."""
        if self.recording.kind is not RecordingKind.CALL:
            return self._write(entries.Skip(0))
        lsn = self._write(entries.Skip(self.next_sequence))
        self.feed.acks.accept(lsn)
        return lsn

    def receive_audio(self, sequence: int, chunks: Sequence[AudioChunk], feed: int = 0) -> None:
        """Take the audio of one message: all of it or, on an error, nothing.

        Raises:
            BadInput: A chunk does not fit.
            Conflict: SEQUENCE_GAP.
            Overloaded: The journal has no room.
            Unavailable: The journal failed.
        """
        acks = self.feeds[feed].acks
        if not acks.is_due(sequence):
            return
        if self.over:
            # Its path may be released already: what comes after the end is not even looked at.
            acks.pass_over()
            return
        kept = self._parts.intake.audio(chunks, feed)
        if not kept:
            acks.accept(self._write(entries.Skip(sequence, self._parts.intake.dropped_frame, feed)))
            return
        acks.accept(
            self._around.journal.append(self._id, entries.EntryKind.AUDIO, entries.audio_buffers(sequence, kept, feed))
        )
        self._parts.placing.place(kept)
        self._parts.queue.push()

    def receive_key(self, sequence: int, press: KeyPress, feed: int = 0) -> None:
        """Take a key press; its frame is in recording frames. During a pause it is forgotten at once.

        Raises:
            Conflict: SEQUENCE_GAP.
            Overloaded: The journal has no room.
            Unavailable: The journal failed.
        """
        acks = self.feeds[feed].acks
        if not acks.is_due(sequence):
            return
        if self.over:
            acks.pass_over()
            return
        if self._parts.pausing.pauses.active or not self._parts.keys.is_new(press):
            acks.accept(self._write(entries.Skip(sequence, feed=feed)))
            return
        acks.accept(self._write(entries.Dtmf(sequence, press, feed)))
        self._parts.story.pressed(press, sequence, feed)
        if self._rules.ends_on(press.digit):
            self.end(StopReason.KEY, press.frame)

    def recording_frame(self, leg_id: str, frame: int, feed: int = 0) -> int:
        """Turn a position in a leg's own rate into one of the recording; after the end, when it is of no use, not.

        Raises:
            BadInput: UNKNOWN_LEG or FRAME_OUT_OF_RANGE.
        """
        return frame if self.over else self._parts.intake.recording_frame(leg_id, frame, feed)

    def check_frame(self, frame: int, field: str) -> None:
        """Refuse a position in recording frames that cannot be meant: BadInput, FRAME_OUT_OF_RANGE."""
        if not self.over:
            self._parts.intake.check_frame(frame, field)

    def enact(self, entry: Membership) -> int:
        """Write down that somebody came, went or was muted, and do it; returns the entry to wait for, 0 for none.

        Raises:
            Overloaded: The journal has no room.
            Unavailable: The journal failed.
        """
        acks = self.feeds[entry.feed].acks
        due = entry.sequence == acks.next_sequence
        if self.over:
            if due:
                acks.pass_over()
            return 0
        lsn = self._write(entry)
        if due:
            acks.accept(lsn)
        self.roster.apply(entry)
        for tell in self.roster.news(entry, self._parts.story):
            tell()
        self._parts.queue.push()
        return lsn

    async def pause(
        self, mode: PauseMode, frame: int | None = None, sequence: int | None = None, feed: int = 0
    ) -> Recording:
        """Drop audio from now on: in force at once, durable and told when this returns.

        Args:
            mode: What takes the place of the audio.
            frame: Where the pause begins; None means now. Never before what was received.
            sequence: The request of the stream that asked for it; None for an RPC of its own.
            feed: The stream.

        Raises:
            BadInput: The sequence is 0.
            Conflict: RECORDING_NOT_LIVE or SEQUENCE_GAP.
        """
        return await self._parts.pausing.pause(mode, frame, sequence, feed)

    async def resume(self, frame: int | None = None, sequence: int | None = None, feed: int = 0) -> Recording:
        """Keep audio again from a recording frame on; None means now. Otherwise as `pause`."""
        return await self._parts.pausing.resume(frame, sequence, feed)

    def stop(self, reason: StopReason, frame: int | None, sequence: int, feed: int = 0) -> None:
        """End the recording because a stream says so.

        Raises:
            Conflict: SEQUENCE_GAP.
        """
        acks = self.feeds[feed].acks
        if acks.is_due(sequence):
            acks.pass_over()
            self.end(reason, frame, sequence, feed)

    def end(self, reason: StopReason, frame: int | None = None, sequence: int = 0, feed: int = 0) -> asyncio.Task[None]:
        """End the recording, in a task that no RPC owns. Only the first call decides why and where.

        Args:
            reason: Why.
            frame: Where; None means at the last audio received. Never before what can no longer change.
            sequence: The request that asked for it; 0 for anything else.
            feed: The stream that asked for it.
        """
        if self.ending is not None:
            return self.ending
        self._watch.stop()
        if self.recording.kind is RecordingKind.CALL:
            self.feed.stop_waiting()
        end_frame = self._path.furthest_frame if frame is None else max(0, frame)
        return self._end_of_it.begin(entries.Stop(sequence, end_frame, reason, feed))

    async def settled(self, timeout_s: float) -> None:
        """Wait until its end is told, or the time is up."""
        if self.ending is not None:
            await asyncio.wait((self.ending,), timeout=timeout_s)

    # After a restart

    def restore(self, entry: entries.Entry) -> None:
        """Do again what an entry of the journal says. Renders as it goes: call it in a thread."""
        feed = self._feed(entry.feed, entry)
        if entry.sequence:
            feed.acks.restore(entry.sequence)
        self._replay.do(entry)

    def restore_hole(self) -> None:
        """Note that damage took entries here: silence, and numbers go on. After `Stop` there was nothing to lose."""
        if self._replay.end is None:
            self._parts.lost.begin(self._path.leg_ends)
            for feed in self.feeds.values():
                feed.acks.lose()

    def go_on(self) -> None:
        """Live again after the last entry was restored: the catalog learns what it may have missed."""
        self._replay.retell()
        if self._replay.end is not None:
            self.end(*self._replay.end)
            return
        if self.recording.state is RecordingState.FINISHING:
            # It was told that it ended; only damage can have taken the entry that says where.
            self.end(self.recording.stop_reason or StopReason.INTERRUPTED)
            return
        self._parts.queue.push()
        if self.recording.kind is RecordingKind.CALL and not self.feed.attached:
            self.await_stream()

    # Inside

    def _reach(self, feed: int) -> int:
        """Return up to which recording frame a stream has brought audio."""
        return self._parts.clock.frame if feed == 0 else self.roster.reach(feed)

    def _feed(self, number: int, entry: entries.Entry | None = None) -> Feed:
        """Return a feed; one that is not there yet comes from the journal, or is the one of a call."""
        if number not in self.feeds:
            identity = entry.identity if isinstance(entry, OpenFeed) else self._id
            window_s = self._around.resume_window_s
            self.feeds[number] = Feed(identity, self._around.journal, resume_window_s=window_s, number=number)
        return self.feeds[number]

    def _write(self, entry: entries.Entry) -> int:
        kind, data = entries.encode(entry)
        return self._around.journal.append(self._id, kind, data)

    def _settle_silence(self, frame: int) -> None:
        """Have everything up to a frame rendered, so that silence can be judged although nobody sends."""
        if self._path.closed_frame < frame and self._parts.queue.idle:
            advance_frame = self._path.closing_frame(frame)
            with contextlib.suppress(Overloaded, Unavailable):
                self._write(entries.Advance(0, advance_frame))
                self._path.advance(advance_frame)
        self._parts.queue.push()

    def _end_by_rule(self) -> None:
        if not self.over:
            self.end(self._rules.limit_reason, self._path.ended_frame)

    def _end_at_limit(self) -> None:
        self.end(self._rules.limit_reason, self._rules.limit_frame)

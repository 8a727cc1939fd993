"""One live recording: what comes in is checked, written down, acknowledged, and turned into a file."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import structlog

from recorder_service.audio.finished import Finished
from recorder_service.domain.event import EventType, KeyPress
from recorder_service.domain.recording import (
    PauseInterval,
    PauseMode,
    RecordedLeg,
    Recording,
    RecordingState,
    StopReason,
)
from recorder_service.errors import Conflict, Overloaded, Reason, RecorderError, Unavailable
from recorder_service.persistence import persist
from recorder_service.sessions import entries
from recorder_service.sessions.audio_path import AudioPath, SpooledFile
from recorder_service.sessions.ended_recording import ended_recording, summed_up
from recorder_service.sessions.entries import EntryKind
from recorder_service.sessions.facts import Facts
from recorder_service.sessions.feed import Feed
from recorder_service.sessions.intake import AudioChunk, Intake
from recorder_service.sessions.key_presses import KeyPresses
from recorder_service.sessions.lost_stretches import LostStretches
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.notices import Completed, Outlet, Stopped
from recorder_service.sessions.pace import Pace
from recorder_service.sessions.pauses import Pauses
from recorder_service.sessions.render_queue import RenderQueue
from recorder_service.sessions.rule_watch import RuleWatch
from recorder_service.sessions.stop_rules import StopRules
from recorder_service.sessions.surroundings import Surroundings

log = structlog.get_logger(__name__)

_MAX_UNTOLD_KEYS = 256
# Well below what the journal refuses at: a slow disk slows senders down before it turns them away.
_MAX_QUEUED_BYTES = 16 * 1024 * 1024
_DURABLE_TIMEOUT_S = 30.0
_TELL_TIMEOUT_S = 2.0
_RUNNING = frozenset({RecordingState.RECORDING, RecordingState.PAUSED})
_UNFINISHED = _RUNNING | {RecordingState.FINISHING}


class LiveRecording:
    """A recording from its start to its last state. Belongs to the event loop.

    Attributes:
        recording: As it stands now.
        feed: The stream that feeds it.
    """

    def __init__(
        self, recording: Recording, *, path: AudioPath, rules: StopRules, facts: Facts, around: Surroundings
    ) -> None:
        """Take over a recording that is in the catalog already."""
        self.recording = recording
        self._id = recording.recording_id
        self._path = path
        self._leg_ids = tuple(path.legs)
        self._rules = rules
        self._facts = facts
        self._around = around
        self._journal = around.journal
        self.feed = Feed(
            self._id,
            around.journal,
            resume_window_s=around.resume_window_s,
            on_lost=partial(self.end, StopReason.INTERRUPTED),
        )
        self._acks = self.feed.acks
        self._pauses = Pauses()
        self._keys = KeyPresses()
        self._lost = LostStretches()
        self._clock = MediaClock()
        self._pace = Pace(around.brake, 0, 1)
        self._intake = Intake(path, self._pauses, self._clock)
        self._queue = RenderQueue(self._id, path, around.workers, on_ended=self._end_by_rule)
        self._watch = RuleWatch(rules, self._clock, on_limit=self._end_at_limit, on_silence=self._settle_silence)
        self._ending: asyncio.Task[None] | None = None
        self._retell: list[Callable[[], object]] = []
        self._restored_end: tuple[StopReason, int] | None = None

    @property
    def next_sequence(self) -> int:
        """The sequence that is due next."""
        return self._acks.next_sequence

    @property
    def received(self) -> tuple[RecordedLeg, ...]:
        """The legs with what came of each so far."""
        legs = self.recording.legs
        # Once it has ended they are summed up, and the path may be gone.
        return legs if self.recording.stop_reason is not None else summed_up(legs, self._path.statistics)

    @property
    def ending(self) -> asyncio.Task[None] | None:
        """The task that ends the recording, once something ended it."""
        return self._ending

    @property
    def busy(self) -> bool:
        """Whether a stream feeds it or it is being finished."""
        return self.feed.attached or self._ending is not None

    @property
    def congested(self) -> bool:
        """Whether the sender should wait in `room`."""
        return (
            self._queue.congested
            or self._journal.queued_bytes > _MAX_QUEUED_BYTES
            or self._facts.untold > _MAX_UNTOLD_KEYS
            or self._around.brake.wait_s > 0
        )

    async def room(self) -> None:
        """Wait until a sender that is faster than real time may go on."""
        if wait_s := self._pace.wait_s(self._clock.frame, self._acks.next_sequence):
            await asyncio.sleep(wait_s)
        await self._queue.room()
        if self._journal.queued_bytes > _MAX_QUEUED_BYTES:
            await self._journal.wait_durable(self._acks.last_lsn, _DURABLE_TIMEOUT_S)
        if self._facts.untold > _MAX_UNTOLD_KEYS:
            await self._facts.settled()

    # The stream that feeds it

    def attach(self, outlet: Outlet, ack_interval_s: float) -> None:
        """Let a stream feed the recording; one that did so before is ended with STREAM_REPLACED.

        Raises:
            Overloaded: The journal has no room.
            Unavailable: The journal failed.
        """
        if self._acks.next_sequence == 1 and self._ending is None:
            # A former run ended between the catalog's word of the start and the journal's.
            self.begin()
        self.feed.attach(outlet, ack_interval_s)
        self._pace = Pace(self._around.brake, self._clock.frame, self._acks.next_sequence)
        if self._ending is None:
            self._clock.restart(max(self._path.furthest_frame, self._intake.dropped_frame))
            self._watch.start()

    def detach(self, outlet: Outlet) -> None:
        """Note that a stream is gone. Without another one in time the recording ends as interrupted."""
        if self.feed.detach(outlet) and self._ending is None:
            log.info("stream_lost", recording_id=str(self._id))
            self.await_stream()

    def await_stream(self) -> None:
        """Give a stream its time to come."""
        self._watch.stop()
        self.feed.wait()

    def discard(self) -> None:
        """Give up what was built for a recording that does not begin."""
        self._path.spool.discard()

    # What the stream brings

    def begin(self) -> int:
        """Write down that request 1, the start, was accepted; returns the entry to wait for."""
        lsn = self._write(entries.Skip(self._acks.next_sequence))
        self._acks.accept(lsn)
        return lsn

    def receive_audio(self, sequence: int, chunks: Sequence[AudioChunk]) -> None:
        """Take the audio of one message: all of it or, on an error, nothing.

        Raises:
            BadInput: A chunk does not fit.
            Conflict: SEQUENCE_GAP.
            Overloaded: The journal has no room.
            Unavailable: The journal failed.
        """
        if not self._acks.is_due(sequence):
            return
        if self._ending is not None:
            # Its path may be released already: what comes after the end is not even looked at.
            self._acks.pass_over()
            return
        kept = self._intake.audio(chunks)
        if not kept:
            self._acks.accept(self._write(entries.Skip(sequence, self._intake.dropped_frame)))
            return
        self._acks.accept(self._journal.append(self._id, EntryKind.AUDIO, entries.audio_buffers(sequence, kept)))
        self._place(kept)
        self._queue.push()

    def receive_key(self, sequence: int, press: KeyPress) -> None:
        """Take a key press; its frame is in recording frames. During a pause it is forgotten at once.

        Raises:
            Conflict: SEQUENCE_GAP.
            Overloaded: The journal has no room.
            Unavailable: The journal failed.
        """
        if not self._acks.is_due(sequence):
            return
        if self._ending is not None:
            self._acks.pass_over()
            return
        if self._pauses.active or not self._keys.is_new(press):
            self._acks.accept(self._write(entries.Skip(sequence)))
            return
        self._acks.accept(self._write(entries.Dtmf(sequence, press)))
        self._tell_key(press, sequence)
        if self._rules.ends_on(press.digit):
            self.end(StopReason.KEY, press.frame)

    def recording_frame(self, leg_id: str, frame: int) -> int:
        """Turn a position in a leg's own rate into one of the recording; after the end, when it is of no use, not.

        Raises:
            BadInput: UNKNOWN_LEG or FRAME_OUT_OF_RANGE.
        """
        return frame if self._ending is not None else self._intake.recording_frame(leg_id, frame)

    def check_frame(self, frame: int, field: str) -> None:
        """Refuse a position in recording frames that cannot be meant: BadInput, FRAME_OUT_OF_RANGE."""
        if self._ending is None:
            self._intake.check_frame(frame, field)

    async def pause(self, mode: PauseMode, frame: int | None = None, sequence: int | None = None) -> Recording:
        """Drop audio from now on: in force at once, durable and told when this returns.

        Args:
            mode: What takes the place of the audio.
            frame: Where the pause begins; None means now. Never before what was received.
            sequence: The request of the stream that asked for it; None for an RPC of its own.

        Raises:
            BadInput: The sequence is 0.
            Conflict: RECORDING_NOT_LIVE or SEQUENCE_GAP.
        """
        if not self._may_turn(sequence, paused=False):
            return self.recording
        now_frame = self._clock.now_frame() if frame is None else frame
        pause = self._pauses.begin(max(now_frame, self._path.furthest_frame), mode)
        self._begin_pause(pause.start_frame, mode)
        return await self._turn(entries.Pause(sequence or 0, pause.start_frame, mode))

    async def resume(self, frame: int | None = None, sequence: int | None = None) -> Recording:
        """Keep audio again from a recording frame on; None means now. Otherwise as `pause`."""
        if not self._may_turn(sequence, paused=True):
            return self.recording
        pause = self._pauses.end(self._clock.now_frame() if frame is None else frame)
        end_frame = pause.end_frame or 0
        self._end_pause(end_frame)
        return await self._turn(entries.Resume(sequence or 0, end_frame))

    def stop(self, reason: StopReason, frame: int | None, sequence: int) -> None:
        """End the recording because the stream says so.

        Raises:
            Conflict: SEQUENCE_GAP.
        """
        if self._acks.is_due(sequence):
            self._acks.pass_over()
            self.end(reason, frame, sequence)

    def end(self, reason: StopReason, frame: int | None = None, sequence: int = 0) -> asyncio.Task[None]:
        """End the recording, in a task that no RPC owns. Only the first call decides why and where.

        Args:
            reason: Why.
            frame: Where; None means at the last audio received. Never before what can no longer change.
            sequence: The request that asked for it; 0 for anything else.
        """
        if self._ending is None:
            end_frame = self._path.furthest_frame if frame is None else max(0, frame)
            self._around.meter.ending(self._id)
            self._watch.stop()
            self.feed.stop_waiting()
            work = self._end(reason, end_frame, sequence)
            self._ending = self._around.background.spawn(work, name=f"end:{self._id}")
        return self._ending

    # After a restart

    def restore(self, entry: entries.Entry) -> None:
        """Do again what an entry of the journal says. Renders as it goes: call it in a thread."""
        if entry.sequence:
            self._acks.restore(entry.sequence)
        match entry:
            case entries.Audio(_, chunks):
                self._end_restored_pause(self._start_frame(chunks[0]))
                self._place(chunks)
            case entries.Dtmf(sequence, press):
                self._restore_key(press, sequence)
            case entries.Pause(_, frame, mode):
                self._end_restored_pause(frame)
                self._pauses.begin(frame, mode)
                self._begin_pause(frame, mode)
                self._retell.append(partial(self._tell_turn, self._pauses.intervals))
            case entries.Resume(_, frame):
                self._end_restored_pause(frame)
            case entries.Skip(_, frame):
                self._intake.dropped_frame = max(self._intake.dropped_frame, frame)
            case entries.Advance(_, frame):
                self._path.advance(frame)
            case entries.Stop(_, frame, reason):
                self._restored_end = (reason, frame)
        if self._queue.congested:
            self._path.run(self._path.take_steps())

    def restore_hole(self) -> None:
        """Note that damage took entries here: silence, and numbers go on. After `Stop` there was nothing to lose."""
        if self._restored_end is None:
            self._lost.begin(self._path.leg_ends)
            self._acks.lose()

    def go_on(self) -> None:
        """Live again after the last entry was restored: the catalog learns what it may have missed."""
        retell, self._retell = self._retell, []
        for tell in retell:
            tell()
        if self._restored_end is not None:
            self.end(*self._restored_end)
            return
        if self.recording.state is RecordingState.FINISHING:
            # It was told that it ended; only damage can have taken the entry that says where.
            self.end(self.recording.stop_reason or StopReason.INTERRUPTED)
            return
        self._queue.push()
        if not self.feed.attached:
            self.await_stream()

    # Inside

    def _write(self, entry: entries.Entry) -> int:
        kind, data = entries.encode(entry)
        return self._journal.append(self._id, kind, data)

    def _restore_key(self, press: KeyPress, sequence: int) -> None:
        self._keys.is_new(press)
        self._retell.append(partial(self._tell_key, press, sequence))
        if self._rules.ends_on(press.digit):
            self._restored_end = (StopReason.KEY, press.frame)

    def _end_restored_pause(self, frame: int) -> None:
        """End the pause there is, if any: nothing is written down during one, so damage may have taken its end."""
        if self._pauses.active:
            self._pauses.end(frame)
            self._end_pause(frame)
            self._retell.append(partial(self._tell_turn, self._pauses.intervals))

    def _start_frame(self, chunk: entries.Chunk) -> int:
        return self._path.legs[self._leg_ids[chunk.leg]].format.recording_frame(chunk.start_frame)

    def _place(self, chunks: Sequence[entries.Chunk]) -> None:
        if self._lost.open:
            for chunk in chunks:
                self._lost.heard(self._leg_ids[chunk.leg], self._start_frame(chunk))
        for chunk in chunks:
            self._path.place(self._leg_ids[chunk.leg], chunk.start_frame, chunk.payload)
        self._clock.saw(self._path.furthest_frame)

    def _tell_key(self, press: KeyPress, sequence: int) -> asyncio.Task[None]:
        return self._around.background.spawn(self._facts.pressed(press, sequence), name=f"dtmf:{self._id}")

    def _may_turn(self, sequence: int | None, *, paused: bool) -> bool:
        """Say whether a request to pause or resume changes anything; if not, it is done."""
        if sequence is not None and not self._acks.is_due(sequence):
            return False
        if self._ending is not None:
            if sequence is not None:
                self._acks.pass_over()
                return False
            raise Conflict(Reason.RECORDING_NOT_LIVE, f"recording {self._id} has ended")
        if self._pauses.active is not paused:
            if sequence is not None:
                self._acks.accept(self._write(entries.Skip(sequence)))
            return False
        return True

    def _begin_pause(self, frame: int, mode: PauseMode) -> None:
        self._watch.silence_counts = False
        if mode is PauseMode.CUT:
            self._path.begin_cut(frame)

    def _end_pause(self, frame: int) -> None:
        self._watch.silence_counts = True
        if self._pauses.intervals[-1].mode is PauseMode.CUT:
            self._path.end_cut(frame)
        # Nobody is asked to speak during a pause: silence counts from its end.
        self._path.hold_silence(frame)

    async def _turn(self, entry: entries.Pause | entries.Resume) -> Recording:
        lsn = self._write(entry)
        if entry.sequence:
            self._acks.accept(lsn)
        work = self._turned(lsn, self._pauses.intervals)
        return await self._around.background.run(work, name=f"turn:{self._id}")

    async def _turned(self, lsn: int, intervals: tuple[PauseInterval, ...]) -> Recording:
        """Make a pause or its end durable, then tell it."""
        await self._journal.wait_durable(lsn, _DURABLE_TIMEOUT_S)
        await asyncio.wait((self._tell_turn(intervals),), timeout=_TELL_TIMEOUT_S)
        return self.recording

    def _tell_turn(self, intervals: tuple[PauseInterval, ...]) -> asyncio.Task[None]:
        last = intervals[-1]
        # Numbered, not named by frame: a pause may begin where an empty one before it began.
        state, event, fact = (
            (RecordingState.PAUSED, EventType.RECORDING_PAUSED, f"paused:{len(intervals)}")
            if last.end_frame is None
            else (RecordingState.RECORDING, EventType.RECORDING_RESUMED, f"resumed:{len(intervals)}")
        )
        recording = self.recording = replace(self.recording, state=state, pauses=intervals)

        async def tell() -> None:
            await self._facts.changed(recording, event, fact, expect=_RUNNING)

        return self._around.background.spawn(tell(), name=f"tell:{self._id}")

    def _settle_silence(self, frame: int) -> None:
        """Have everything up to a frame rendered, so that silence can be judged although nobody sends."""
        if self._path.closed_frame < frame and self._queue.idle:
            advance_frame = self._path.closing_frame(frame)
            with contextlib.suppress(Overloaded, Unavailable):
                self._write(entries.Advance(0, advance_frame))
                self._path.advance(advance_frame)
        self._queue.push()

    def _end_by_rule(self) -> None:
        if self._ending is None:
            self.end(self._rules.limit_reason, self._path.ended_frame)

    def _end_at_limit(self) -> None:
        self.end(self._rules.limit_reason, self._rules.limit_frame)

    async def _end(self, reason: StopReason, frame: int, sequence: int) -> None:
        try:
            finished = await self._close(reason, frame, sequence)
            await self._facts.changed(self.recording, EventType.RECORDING_STOPPED, "stopped", expect=_RUNNING)
            spooled = await persist(lambda: self._sealed(finished), "spool_full", self._id)
            self._path.release()
            self._around.on_stopped(self._id)
            self.recording = await self._around.finisher.finish(self.recording, spooled, self._facts)
            self._journal.release(self._id)
            self.feed.notify(Completed(self.recording))
        except RecorderError as error:
            # The journal keeps everything: the next start goes on from here.
            self.feed.fail(error)
            raise
        except Exception:
            log.exception("finishing_failed", recording_id=str(self._id))
            await self._give_up()
        finally:
            self._around.on_ended(self._id)

    async def _sealed(self, finished: Finished) -> SpooledFile | None:
        return await asyncio.get_running_loop().run_in_executor(self._around.workers, self._path.seal, finished)

    async def _give_up(self) -> None:
        """Say that no file can be made. The audio stays in the journal for whoever mends the fault."""
        failure = "an internal error occurred while the file was made; the audio is kept in the journal"
        self.recording = replace(self.recording, state=RecordingState.FAILED, failure=failure)
        await self._facts.changed(self.recording, EventType.RECORDING_FAILED, "failed", expect=_UNFINISHED)
        self.feed.notify(Completed(self.recording))

    async def _close(self, reason: StopReason, frame: int, sequence: int) -> Finished:
        """Render the rest, then write down and tell where and why the recording ended."""
        if self._pauses.active:
            self._end_pause(self._pauses.end(frame).end_frame or frame)
        finished = await self._queue.complete(frame)
        # What was asked for, not what came of it: asking the same again after a crash has to give the same.
        await self._write_end(entries.Stop(sequence, frame, reason))
        end_frame = self._path.ended_frame or 0
        reason = self._rules.reason(end_frame, reason)
        self._acks.tell()
        self.feed.stopped(Stopped(reason, end_frame))
        heard, pauses, damage = self._path.statistics, self._pauses.intervals, self._lost.at_end(end_frame)
        self.recording = ended_recording(self.recording, reason, end_frame, heard=heard, pauses=pauses, damage=damage)
        return finished

    async def _write_end(self, stop: entries.Stop) -> None:
        """Make the end durable: on a full disk it waits for room, a journal that failed is at its end."""

        async def write() -> int:
            return self._write(stop)

        lsn = await persist(write, "journal_full", self._id, away=(Overloaded,))
        self._acks.conclude(lsn)

        async def durable() -> None:
            await self._journal.wait_durable(lsn, _DURABLE_TIMEOUT_S)

        await persist(durable, "journal_full", self._id, away=(Overloaded,))

"""A conference: its legs, the streams they are on, and the recording that runs, if one does."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

import structlog

from recorder_service.domain.application import Application
from recorder_service.domain.recording import (
    ConferenceFacts,
    Recording,
    RecordingKind,
    RecordingState,
    StopReason,
)
from recorder_service.errors import BadInput, Overloaded, Reason
from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.conference_values import MAX_LEGS, MAX_STAYS, ConferenceClock, JoinLeg, RecordPlan
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.membership import CloseFeed, Join, Leave, Mute, OpenFeed
from recorder_service.sessions.notices import Ended, Started
from recorder_service.sessions.path_factory import leg_beep
from recorder_service.sessions.roster import AUDIO_END, unknown_leg
from recorder_service.sessions.surroundings import Background

log = structlog.get_logger(__name__)

_DURABLE_TIMEOUT_S = 10.0


class Recordings(Protocol):
    """The live recordings of the node."""

    async def start(self, wanted: Recording, application: Application) -> LiveRecording:
        """Begin a recording."""


@dataclass(slots=True)
class Member:
    """A leg that is in the conference.

    Attributes:
        joined_frame: Where it joined, in frames of the conference.
        muted: Whether it is muted now.
        stay: Its index in the recording that runs; None while none does.
    """

    leg: JoinLeg
    stream: ConferenceStream
    joined_frame: int
    muted: bool
    stay: int | None = None


class Conference:
    """Belongs to the event loop; whatever changes who is in it holds its lock.

    Attributes:
        name: Unique within the application while the conference lives.
        members: The legs that are in it, by id.
        streams: Its open streams by number.
        ended: Whether it is over.
        recorded: Whether a recording has begun: it is recorded by itself only once.
    """

    def __init__(
        self,
        name: str,
        conversation_id: str,
        application: Application,
        plan: RecordPlan,
        *,
        recordings: Recordings,
        background: Background,
        clock: ConferenceClock,
        on_ended: Callable[["Conference"], None],
    ) -> None:
        """Begin without legs."""
        self.name = name
        self.conversation_id = conversation_id
        self.application = application
        self.clock = clock
        self.members: dict[str, Member] = {}
        self.streams: dict[int, ConferenceStream] = {}
        self.ended = False
        self.lock = asyncio.Lock()
        self._plan = plan
        self._recordings = recordings
        self._background = background
        self._on_ended = on_ended
        self._live: LiveRecording | None = None
        self.recorded = False
        self._began_frame = 0
        self._next_number = 1

    @property
    def live(self) -> LiveRecording | None:
        """The recording that runs or is being ended; None while nothing that comes belongs to one."""
        if self._live is not None and self._live.concluded:
            self._live = None
            for member in self.members.values():
                member.stay = None
        return self._live

    def recording_now(self) -> int:
        """Return the recording frame of this instant."""
        return self.clock.now_frame() - self._began_frame

    def restore(self, live: LiveRecording, began_frame: int) -> None:
        """Take over what a former run left of the conference: a recording that has been replayed."""
        self._live, self.recorded, self._began_frame = live, True, began_frame
        self._next_number = max(live.roster.sources, default=0) + 1

    def restore_member(self, member: Member) -> None:
        """Take over a leg that was in the conference when the former run ended."""
        self.members[member.leg.leg_id] = member

    def next_number(self) -> int:
        """Return the number of the next stream."""
        self._next_number += 1
        return self._next_number - 1

    # Coming and going. The caller holds the lock.

    async def open(self, stream: ConferenceStream, legs: Sequence[JoinLeg]) -> int:
        """Let a stream and its first legs in; for a stream that is in already, those legs that are missing.

        Returns:
            The journal's entry to wait for; 0 for none.

        Raises:
            BadInput: DUPLICATE_LEG, TOO_MANY_LEGS or INVALID_FIELD.
            Overloaded: The recording cannot begin.
        """
        fresh = stream.number not in self.streams
        missing = [leg for leg in legs if fresh or not self._is_on(leg.leg_id, stream)]
        self._check(missing, "open.join.legs")
        self.streams[stream.number] = stream
        try:
            return await self._admit(stream, missing, 0)
        except BaseException:
            if fresh:
                del self.streams[stream.number]
            raise

    async def join(self, stream: ConferenceStream, sequence: int, leg: JoinLeg) -> int:
        """Let a leg of a stream in. Otherwise as `open`."""
        self._check([leg], "join_leg")
        return await self._admit(stream, [leg], sequence)

    def leave(self, stream: ConferenceStream, sequence: int, leg_id: str, frame: int | None) -> int:
        """Let a leg go; the last one, or one with `end_on_exit`, ends the conference.

        Raises:
            BadInput: UNKNOWN_LEG.
        """
        member = self._member(stream, leg_id)
        lsn = self._go(member, sequence, self._at(member, frame))
        if member.leg.end_on_exit or not self.members:
            self._end(StopReason.HANGUP, member)
        return lsn

    def mute(self, stream: ConferenceStream, sequence: int, leg_id: str, frame: int | None, *, muted: bool) -> int:
        """Mute or unmute a leg.

        Raises:
            BadInput: UNKNOWN_LEG.
        """
        member = self._member(stream, leg_id)
        member.muted = muted
        if (live := self.live) is None or member.stay is None:
            stream.acks.accept(0)
            return 0
        return live.enact(Mute(sequence, stream.number, member.stay, self._at(member, frame), muted))

    def close(self, stream: ConferenceStream, sequence: int, reason: StopReason = StopReason.HANGUP) -> int:
        """Let all legs of a stream go, and the stream itself."""
        gone = [member for member in self.members.values() if member.stream is stream]
        for member in gone:
            self._go(member, 0, AUDIO_END)
        self.streams.pop(stream.number, None)
        lsn = 0
        if (live := self.live) is not None and stream.number in live.feeds:
            lsn = live.enact(CloseFeed(sequence, stream.number))
        elif sequence:
            stream.acks.accept(0)
        leaders = [member for member in gone if member.leg.end_on_exit]
        if leaders or (gone and not self.members) or not self.streams:
            self._end(reason, leaders[0] if leaders else None, stream)
        return lsn

    # Recording

    async def record(self, plan: RecordPlan | None) -> Recording:
        """Begin a recording, or return the one that runs.

        Args:
            plan: How; None means as the conference was opened.

        Raises:
            Overloaded: There is no room for another recording.
        """
        if self.live is not None and self.live.ending is not None:
            await asyncio.wait((self.live.ending,), timeout=_DURABLE_TIMEOUT_S)
        if self.live is None:
            await self._start(plan or self._plan, self.clock.now_frame())
        assert self.live is not None  # noqa: S101 - for the type checker: it was just begun
        return self.live.recording

    def finish_if_empty(self) -> None:
        """End a conference that a former run left without legs."""
        if not self.members:
            self._end(StopReason.HANGUP, None)

    # Inside

    async def _admit(self, stream: ConferenceStream, legs: Sequence[JoinLeg], sequence: int) -> int:
        now_frame = self.clock.now_frame()
        came = [Member(leg, stream, self._joined_frame(leg, stream, sequence, now_frame), leg.muted) for leg in legs]
        self.members.update((member.leg.leg_id, member) for member in came)
        leader = next((member for member in came if member.leg.start_on_enter), None)
        try:
            if self.live is None and leader is not None and not self._plan.on_demand and not self.recorded:
                return await self._start(self._plan, leader.joined_frame, stream, sequence)
        except BaseException:
            for member in came:
                self.members.pop(member.leg.leg_id, None)
            raise
        return self._bring_in(stream, came, sequence)

    def _bring_in(self, stream: ConferenceStream, came: Sequence[Member], sequence: int) -> int:
        """Tell the recording, if one runs, who came."""
        live = self.live
        if live is None:
            if stream.acks.next_sequence == max(1, sequence):
                stream.acks.accept(0)
            return 0
        lsn = 0 if stream.number in live.feeds else self._open_feed(live, stream)
        for index, member in enumerate(came):
            lsn = self._join(live, member, sequence if index == len(came) - 1 else 0)
        return lsn

    def _open_feed(self, live: LiveRecording, stream: ConferenceStream) -> int:
        live.feeds[stream.number] = stream.feed
        sequence = max(1, stream.acks.next_sequence - 1)
        origin_frame = stream.origin_frame - self._began_frame
        return live.enact(OpenFeed(sequence, stream.number, str(stream.stream_id), origin_frame, stream.followed))

    def _join(self, live: LiveRecording, member: Member, sequence: int) -> int:
        leg, roster = member.leg, live.roster
        member.stay = roster.next_index()
        frame = max(0, member.joined_frame - self._began_frame)
        channel = roster.channel(leg.leg_id)
        feed = member.stream.number
        return live.enact(
            Join(
                sequence, feed, member.stay, leg.leg_id, leg.encoding, leg.sample_rate_hz, channel, frame, member.muted,
                leg.end_on_exit,
            )
        )  # fmt: skip

    async def _start(
        self, plan: RecordPlan, began_frame: int, asker: ConferenceStream | None = None, sequence: int = 0
    ) -> int:
        recording = Recording(
            recording_id=uuid4(),
            application_id=self.application.application_id,
            conversation_id=self.conversation_id,
            kind=RecordingKind.CONFERENCE,
            state=RecordingState.RECORDING,
            options=plan.options,
            encoder=plan.encoder,
            start_time=datetime.now(UTC),
            metadata=plan.metadata,
            conference=ConferenceFacts(self.name, self._plan.on_demand, began_frame),
        )
        live = await self._recordings.start(recording, self.application)
        self._live, self.recorded, self._began_frame = live, True, began_frame
        lsn = 0
        for stream in self.streams.values():
            lsn = self._open_feed(live, stream)
        members = sorted(self.members.values(), key=lambda member: member.stream is asker)
        for index, member in enumerate(members):
            lsn = self._join(live, member, sequence if index == len(members) - 1 else 0)
        live.run_clock(self.recording_now())
        for stream in self.streams.values():
            stream.feed.begin(Started(live.recording))
        if plan.options.beep_start:
            self._beep()
        return lsn

    def _beep(self) -> None:
        for member in self.members.values():
            position = member.leg.format.leg_frame(max(0, self._began_frame - member.stream.origin_frame))
            member.stream.feed.notify(leg_beep(member.leg.leg_id, member.leg.format, position))

    def _check(self, legs: Sequence[JoinLeg], field: str) -> None:
        ids = [leg.leg_id for leg in legs]
        for index, leg in enumerate(legs):
            if leg.leg_id in self.members or leg.leg_id in ids[:index]:
                message = f"leg {leg.leg_id!r} is in the conference already; give every leg its own id"
                raise BadInput(Reason.DUPLICATE_LEG, message, field=f"{field}.leg.leg_id", value=leg.leg_id)
            self._check_format(leg, field)
        count = len(self.members) + len(legs)
        stays = 0 if self._live is None else len(self._live.roster.stays) + len(legs)
        if count > MAX_LEGS or stays > MAX_STAYS:
            message = f"the conference would have {count} legs; {MAX_LEGS} at once and {MAX_STAYS} in all are possible"
            raise BadInput(Reason.TOO_MANY_LEGS, message, field=field, value=count)

    def _check_format(self, leg: JoinLeg, field: str) -> None:
        before = None if self._live is None else self._live.roster.format_of(leg.leg_id)
        if before is not None and before != leg.format:
            message = (
                f"leg {leg.leg_id!r} was here as {before.encoding.value} at {before.sample_rate_hz} Hz; "
                "come back in the same format, or under another id"
            )
            raise BadInput(Reason.INVALID_FIELD, message, field=f"{field}.leg.encoding", value=leg.encoding)

    def _joined_frame(self, leg: JoinLeg, stream: ConferenceStream, sequence: int, now_frame: int) -> int:
        if leg.frame is None:
            return max(now_frame, stream.origin_frame) if sequence else stream.origin_frame
        return max(0, stream.origin_frame + leg.format.recording_frame(leg.frame))

    def _is_on(self, leg_id: str, stream: ConferenceStream) -> bool:
        member = self.members.get(leg_id)
        return member is not None and member.stream is stream

    def _member(self, stream: ConferenceStream, leg_id: str) -> Member:
        if not self._is_on(leg_id, stream):
            raise unknown_leg(leg_id)
        return self.members[leg_id]

    def _at(self, member: Member, frame: int | None) -> int:
        """Turn a position of a leg into a recording frame."""
        live = self.live
        if frame is None or live is None or live.ending is not None or member.stay is None:
            return AUDIO_END
        return live.roster.stays[member.stay].recording_frame(frame)

    def _go(self, member: Member, sequence: int, frame: int) -> int:
        del self.members[member.leg.leg_id]
        live = self.live
        if live is None or member.stay is None:
            if sequence:
                member.stream.acks.accept(0)
            return 0
        return live.enact(Leave(sequence, member.stream.number, member.stay, frame))

    def _end(self, reason: StopReason, leader: Member | None, closed: ConferenceStream | None = None) -> None:
        """End the conference: where the leg that takes it along left, or else where the last leg did."""
        if self.ended:
            return
        self.ended = True
        live = self.live
        frame = AUDIO_END
        if live is not None and leader is not None and leader.stay is not None:
            frame = live.roster.stays[leader.stay].left_frame or 0
        for member in list(self.members.values()):
            self._go(member, 0, frame)
        streams = [*self.streams.values(), *([closed] if closed else [])]
        if live is not None:
            live.end(reason, live.roster.furthest_left())
        for stream in streams:
            stream.feed.stop_waiting()
        self._on_ended(self)
        self._background.spawn(self._say_goodbye(live, streams), name=f"conference:{self.conversation_id}")

    async def _say_goodbye(self, live: LiveRecording | None, streams: Sequence[ConferenceStream]) -> None:
        if live is not None and live.ending is not None:
            await asyncio.wait((live.ending,))
        for stream in streams:
            stream.acks.tell()
            stream.feed.notify(Ended(conference_ended=True))


def overloaded_streams() -> Overloaded:
    """Make the refusal of more streams than a recording can tell apart."""
    return Overloaded(Reason.TOO_MANY_LEGS, "the conference has had too many streams: begin another one")


def restored_leg(leg_id: str, encoding: str, sample_rate_hz: int, *, end_on_exit: bool) -> JoinLeg:
    """Make the wish of a leg that joined in a former run."""
    return replace(JoinLeg(leg_id, encoding, sample_rate_hz), end_on_exit=end_on_exit)

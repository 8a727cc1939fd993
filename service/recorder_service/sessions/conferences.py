"""All conferences of the node: who may open one, where one is found, and what a restart brings back."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid4

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.domain.application import Application
from recorder_service.domain.encoder_choice import EncoderDefaults, chosen_encoder
from recorder_service.domain.options import EncoderOptions, RecordOptions
from recorder_service.domain.owner import conference_not_found
from recorder_service.domain.recording import Recording, RecordingKind, StopReason
from recorder_service.errors import BadInput, NotFound, Reason
from recorder_service.sessions.conference import Conference, Member, Recordings, overloaded_streams, restored_leg
from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.conference_values import ConferenceClock, JoinStream, RecordPlan
from recorder_service.sessions.feed import Feed
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.notices import Drain
from recorder_service.sessions.surroundings import Background

_MAX_STREAMS = 0xFFFF
_MAX_ENDED = 4096
_DURABLE_TIMEOUT_S = 10.0


class Applications(Protocol):
    """Knows the tenants."""

    async def get(self, application_id: UUID) -> Application:
        """Return an application."""


class Standing(Recordings, Protocol):
    """The live recordings of the node, and whether it takes new ones."""

    def check_open(self) -> None:
        """Refuse everything new while the node goes down."""


class Conferences:
    """The conferences of one node.

    Attributes:
        on_over: Called with application and name of each that is over: its name is free.
    """

    def __init__(
        self,
        *,
        recordings: Standing,
        applications: Applications,
        journal: Journal,
        background: Background,
        resume_window_s: float,
        encoder: EncoderDefaults,
        make_clock: Callable[[int], ConferenceClock] = ConferenceClock,
    ) -> None:
        """Start without conferences; `recover` brings back those of a former run."""
        self.on_over: Callable[[UUID, str], None] = _tell_nobody
        self._recordings = recordings
        self._applications = applications
        self._journal = journal
        self._background = background
        self._resume_window_s = resume_window_s
        self._encoder = encoder
        self._make_clock = make_clock
        self._by_name: dict[tuple[UUID, str], Conference] = {}
        self._streams: dict[UUID, ConferenceStream] = {}
        # The newest streams of conferences that have ended, and whose they were.
        self._ended: dict[UUID, UUID] = {}

    def __len__(self) -> int:
        """Count the conferences that are not over."""
        return len(self._by_name)

    async def join(self, wanted: JoinStream, application: Application) -> ConferenceStream:
        """Let a stream in, and begin its conference if there is none of that name.

        Goes on to its end even if the caller is cancelled; the stream then waits for its RPC.

        Raises:
            BadInput: DUPLICATE_LEG, TOO_MANY_LEGS, INVALID_FIELD.
            Overloaded: TOO_MANY_RECORDINGS or DISK_FULL.
            Unavailable: DRAINING, or a part of the service is away.
        """
        self._recordings.check_open()
        return await self._background.run(self._join(wanted, application), f"join:{wanted.stream_id}")

    async def resume(self, stream_id: UUID, application_id: UUID | None) -> ConferenceStream:
        """Return a stream whose RPC was lost.

        Raises:
            NotFound: STREAM_NOT_FOUND, or CONFERENCE_NOT_FOUND where its conference has ended.
            Unavailable: DRAINING.
        """
        self._recordings.check_open()
        stream = self._streams.get(stream_id)
        if stream is None and (owner := self._ended.get(stream_id)) and application_id in {None, owner}:
            message = f"the conference of stream {stream_id} has ended; open a new one with `join`"
            raise NotFound(Reason.CONFERENCE_NOT_FOUND, message, details={"stream_id": str(stream_id)})
        if stream is None or stream.over or not _is_of(stream.conference, application_id):
            message = f"there is no stream {stream_id}, or no more; open one with `join`"
            raise NotFound(Reason.STREAM_NOT_FOUND, message, details={"stream_id": str(stream_id)})
        return stream

    async def start_recording(
        self, conversation_id: str, application_id: UUID | None, options: RecordOptions | None
    ) -> Recording:
        """Begin a recording of a conference, or return the one that runs.

        Args:
            conversation_id: The conference's.
            application_id: Whose; None means anybody's.
            options: How; None means as the conference was opened.

        Raises:
            BadInput: INVALID_OPTION, a conference does not end on silence or a key.
            NotFound: CONFERENCE_NOT_FOUND.
            Overloaded: TOO_MANY_RECORDINGS or DISK_FULL.
        """
        self._recordings.check_open()
        plan = None if options is None else self._record_plan(options)
        conference = self._find(conversation_id, application_id)

        async def work() -> Recording:
            async with conference.lock:
                if conference.ended or not conference.members:
                    raise conference_not_found(conversation_id)
                return await conference.record(plan)

        return await self._background.run(work(), f"record:{conversation_id}")

    async def stop_recording(self, conversation_id: str, application_id: UUID | None) -> Recording:
        """End the recording that runs of a conference, and return it.

        Raises:
            NotFound: CONFERENCE_NOT_FOUND, or RECORDING_NOT_FOUND where none runs.
        """
        conference = self._find(conversation_id, application_id)
        async with conference.lock:
            live = conference.live
            if live is None:
                message = f"no recording of {conversation_id} runs; start one first"
                raise NotFound(Reason.RECORDING_NOT_FOUND, message, details={"conversation_id": conversation_id})
            live.end(StopReason.REQUESTED)
            await live.settled(_DURABLE_TIMEOUT_S)
            return live.recording

    async def recover(self, lives: Iterable[LiveRecording]) -> None:
        """Make the conferences again whose recordings were replayed. They wait for their streams from `go_on` on."""
        for live in lives:
            if live.recording.kind is RecordingKind.CONFERENCE and live.goes_on:
                await self._restore(live)

    def go_on(self) -> None:
        """Let the streams' time to come back begin."""
        for stream in list(self._streams.values()):
            if not stream.feed.attached:
                stream.await_stream()
        for conference in list(self._by_name.values()):
            if (live := conference.live) is not None:
                live.run_clock(conference.recording_now())
            conference.finish_if_empty()

    def drain(self, retry_after_s: float) -> None:
        """Ask the senders to come back elsewhere; those whose conference is recorded are asked by their recording."""
        for stream in self._streams.values():
            if stream.conference.live is None:
                stream.feed.notify(Drain(retry_after_s))

    # What shares names with other nodes asks

    def check_open(self) -> None:
        """Refuse everything new while the node goes down."""
        self._recordings.check_open()

    def here(self) -> tuple[Conference, ...]:
        """Return the conferences that are not over."""
        return tuple(self._by_name.values())

    def find(self, application_id: UUID, name: str) -> Conference | None:
        """Return the conference that has a name now."""
        return self._by_name.get((application_id, name))

    async def interrupt(self, application_id: UUID, name: str) -> None:
        """End a conference that goes on without this node: its recording is finished as interrupted."""
        conference = self.find(application_id, name)
        if conference is None:
            return
        async with conference.lock:
            for stream in tuple(conference.streams.values()):
                if not conference.ended:
                    conference.close(stream, 0, StopReason.INTERRUPTED)

    # Inside

    async def _join(self, wanted: JoinStream, application: Application) -> ConferenceStream:
        while True:
            conference = self._conference(wanted, application)
            async with conference.lock:
                if conference.ended:
                    continue
                stream = self._stream(wanted, conference)
                try:
                    lsn = await conference.open(stream, wanted.legs)
                finally:
                    if not conference.streams:
                        self._forget(conference)
                self._streams[wanted.stream_id] = stream
                if not stream.feed.attached:
                    stream.feed.wait()
            await self._journal.wait_durable(lsn, _DURABLE_TIMEOUT_S)
            return stream

    def _conference(self, wanted: JoinStream, application: Application) -> Conference:
        key = (application.application_id, wanted.name)
        conference = self._by_name.get(key)
        if conference is None:
            conversation_id = wanted.conversation_id or f"CON-{uuid4()}"
            self._check_conversation(conversation_id)
            clock = self._make_clock(wanted.conference_frame + wanted.waited_frames())
            conference = self._by_name[key] = self._make(wanted.name, conversation_id, application, wanted.plan, clock)
            conference.recorded = wanted.returned is not None and wanted.returned.recorded
        return conference

    def _make(
        self, name: str, conversation_id: str, application: Application, plan: RecordPlan, clock: ConferenceClock
    ) -> Conference:
        return Conference(
            name,
            conversation_id,
            application,
            plan,
            recordings=self._recordings,
            background=self._background,
            clock=clock,
            on_ended=self._forget,
        )

    def _stream(self, wanted: JoinStream, conference: Conference) -> ConferenceStream:
        known = self._streams.get(wanted.stream_id)
        if known is not None and known.conference is conference and not known.over:
            return known
        if known is not None and not known.over:
            message = f"stream_id {wanted.stream_id} is taken: choose a new random UUID"
            raise BadInput(Reason.INVALID_FIELD, message, field="open.join.stream_id", value=wanted.stream_id)
        number = conference.next_number()
        if number > _MAX_STREAMS:
            raise overloaded_streams()
        feed = Feed(wanted.stream_id, self._journal, resume_window_s=self._resume_window_s, number=number)
        origin_frame = wanted.origin_frame
        if origin_frame is None:
            # Before the conference began only where a stream returns to one that has begun anew without it.
            least_frame = 0 if wanted.returned is None else -wanted.position_frame
            now_frame = conference.clock.now_frame() - wanted.waited_frames()
            origin_frame = max(least_frame, now_frame - wanted.position_frame)
            if not conference.streams and not conference.members:
                # The conference begins with this stream.
                origin_frame = wanted.conference_frame - wanted.position_frame
        return self._make_stream(wanted.stream_id, feed, conference, origin_frame, followed=wanted.origin_frame is None)

    def _make_stream(
        self, stream_id: UUID, feed: Feed, conference: Conference, origin_frame: int, *, followed: bool
    ) -> ConferenceStream:
        return ConferenceStream(
            stream_id,
            feed,
            conference,
            origin_frame=origin_frame,
            followed=followed,
            journal=self._journal,
            background=self._background,
        )

    async def _restore(self, live: LiveRecording) -> None:
        recording = live.recording
        facts = recording.conference
        if facts is None:
            return
        application = await self._applications.get(recording.application_id)
        plan = RecordPlan(recording.options, recording.encoder, recording.metadata, facts.on_demand)
        passed_s = (datetime.now(UTC) - recording.start_time).total_seconds()
        clock = self._make_clock(facts.began_frame + int(passed_s * RECORDING_RATE_HZ))
        conference = self._make(facts.name, recording.conversation_id, application, plan, clock)
        conference.restore(live, facts.began_frame)
        self._by_name[application.application_id, facts.name] = conference
        for number, source in live.roster.sources.items():
            if not source.open or not source.stream_id:
                continue
            stream_id, origin_frame = UUID(source.stream_id), source.origin_frame + facts.began_frame
            stream = self._make_stream(
                stream_id, live.feeds[number], conference, origin_frame, followed=source.followed
            )
            self._streams[stream_id] = conference.streams[number] = stream
            for leg in source.legs.values():
                spec = restored_leg(
                    leg.leg_id, leg.format.encoding.value, leg.format.sample_rate_hz, end_on_exit=leg.end_on_exit
                )
                joined_frame = leg.joined_frame + facts.began_frame
                conference.restore_member(Member(spec, stream, joined_frame, leg.mutes.active, leg.index))

    def _record_plan(self, options: RecordOptions) -> RecordPlan:
        if options.synchronous:
            message = "a conference does not end on silence or a key: leave endOnSilence and endOnKey out"
            raise BadInput(Reason.INVALID_OPTION, message, field="options", value="(set)")
        return RecordPlan(options, chosen_encoder(options, EncoderOptions(), self._encoder))

    def _find(self, conversation_id: str, application_id: UUID | None) -> Conference:
        for conference in self._by_name.values():
            if conference.conversation_id == conversation_id and _is_of(conference, application_id):
                return conference
        raise conference_not_found(conversation_id)

    def _check_conversation(self, conversation_id: str) -> None:
        if any(conference.conversation_id == conversation_id for conference in self._by_name.values()):
            message = f"conversation_id {conversation_id} is another conference's: leave it empty or choose a new one"
            raise BadInput(Reason.INVALID_FIELD, message, field="open.join.conversation_id", value=conversation_id)

    def _forget(self, conference: Conference) -> None:
        key = (conference.application.application_id, conference.name)
        if self._by_name.get(key) is conference:
            conference.ended = True
            del self._by_name[key]
            self.on_over(*key)
        for stream_id, stream in list(self._streams.items()):
            if stream.conference is conference:
                del self._streams[stream_id]
                self._ended[stream_id] = conference.application.application_id
        while len(self._ended) > _MAX_ENDED:
            del self._ended[next(iter(self._ended))]


def _tell_nobody(_application_id: UUID, _name: str) -> None:
    """Tell nobody: names are not shared."""


def _is_of(conference: Conference, application_id: UUID | None) -> bool:
    return application_id in {None, conference.application.application_id}

"""Feeding a conference: legs that come and go, audio, key presses and control in, the server's messages out."""

import uuid
from collections.abc import Callable
from typing import Any

from recorder.backlog import Backlog
from recorder.errors import RecorderError, unavailable
from recorder.membership import ALIGNED_FRAMES, Membership
from recorder.resuming import CallSettings, ResumingLine
from recorder.sending import Sending
from recorder.v1.recorder_service_pb2 import (
    CloseConference,
    ConferenceEnded,
    ConferenceOpened,
    JoinConference,
    JoinLeg,
    LeaveLeg,
    MuteLeg,
    OpenConference,
    RecordConferenceRequest,
    RecordConferenceResponse,
    ResumeConference,
)
from recorder.v1.recording_pb2 import Leg, Recording

_GONE = "STREAM_NOT_FOUND"
_ENDED = "CONFERENCE_NOT_FOUND"
_AFTER_OPENING = 2


class ConferenceLine(ResumingLine[RecordConferenceRequest, RecordConferenceResponse]):
    """The line of one stream of a conference.

    A server that does not know the stream any more is told all of it anew: it was restarted while nothing was recorded,
    or the line was away for too long. Its legs are then as they were, and its positions go on counting.

    Attributes:
        stream_id: Another one each time the stream is told anew.
        opened: The answer to the newest opening; None until there is one.
        ended: The server's last message; None until then.
        recordings: Those of the conference that were completed while the stream was there, in their last state.
    """

    def __init__(
        self,
        join: JoinConference,
        settings: CallSettings,
        backlog: Backlog[RecordConferenceRequest],
        open_stream: Callable[[], Any],
        *,
        position: Callable[[], tuple[int, int]],
        on_message: Callable[[RecordConferenceResponse], None],
    ) -> None:
        """Prepare a line; nothing is sent before `run`.

        Args:
            join: How the stream begins, with a stream id.
            settings: How to send.
            backlog: What to send.
            open_stream: Starts the RPC, with a fresh token, on every try.
            position: Says at 16 kHz where the audio begins that is not acknowledged, and where it stands.
            on_message: Is given every message but acknowledgements.
        """
        super().__init__(settings, backlog, open_stream, RecordConferenceResponse, on_message=on_message)
        self.opened: ConferenceOpened | None = None
        self.members = Membership(join.legs)
        self.ended: ConferenceEnded | None = None
        self.recordings: list[Recording] = []
        self._join = join
        self._stream_id = join.stream_id
        self._position = position
        self._recorded = False
        self._returns = False

    @property
    def stream_id(self) -> str:
        """The stream's id."""
        return self._stream_id

    @property
    def begun(self) -> bool:
        """Whether the server has answered an opening."""
        return self.opened is not None

    @property
    def finished(self) -> bool:
        """Whether the server said its last word."""
        return self.ended is not None

    async def _settle(self, error: RecorderError) -> bool:
        if self.opened is None or self._returns or error.reason not in {_GONE, _ENDED}:
            return False
        if self.closing or error.reason == _ENDED:
            # It was closed, or the conference ended, and the word of it got lost with the line.
            self._take(RecordConferenceResponse(ended=ConferenceEnded(conference_ended=error.reason == _ENDED)))
        else:
            self._returns = True
            # An answer that gets lost must find the same one again.
            self._stream_id = str(uuid.uuid4())
        return True

    def _opening(self) -> RecordConferenceRequest:
        if self._returns:
            self._return()
        if self.opened is None or self._returns:
            request = RecordConferenceRequest(sequence=1, open=OpenConference(join=self._join))
        else:
            resume = ResumeConference(stream_id=self._join.stream_id)
            request = RecordConferenceRequest(open=OpenConference(resume=resume))
        request.open.ack_interval.FromMilliseconds(self._settings.ack_interval_ms)
        return request

    def _return(self) -> None:
        """Say anew what the stream is, where it stands now."""
        join = JoinConference()
        join.CopyFrom(self._join)
        join.stream_id = self._stream_id
        unsent_frame, position_frame = self._position()
        del join.legs[:]
        join.legs.extend(self.members.returning(unsent_frame // ALIGNED_FRAMES * ALIGNED_FRAMES))
        if self.opened is not None:
            join.conversation_id = self.opened.conversation_id
            join.returning.origin_frame = self.opened.origin_frame
        join.returning.position_frame = position_frame
        join.returning.recorded = self._recorded
        self._join = join

    def _accept(self, answer: RecordConferenceResponse) -> int:
        if self._returns and answer.opened.next_sequence == _AFTER_OPENING:
            self._returns = False
            self._backlog.renumber()
        self._check_expected(answer.opened.next_sequence, self._join.stream_id)
        self.opened = answer.opened
        return answer.opened.next_sequence

    def _take(self, message: RecordConferenceResponse) -> None:
        if message.HasField("completed"):
            self.recordings.append(message.completed.recording)
        elif message.HasField("stopped"):
            self._recorded = True
        elif message.HasField("started"):
            self._recorded = False
        elif message.HasField("ended"):
            self.ended = message.ended
            self._backlog.close()
        self._on_message(message)
        if message.HasField("drain") and not self.closing:
            wait_s = message.drain.retry_after.ToMilliseconds() / 1000
            raise unavailable("the server is going down", retry_after_s=wait_s)


class Conference(Sending[RecordConferenceRequest, RecordConferenceResponse]):
    """One stream of a conference. Use it as `async with`: entering waits until the server has let the stream in.

    A line that breaks is taken up again by itself, and what is not acknowledged is sent again. Where the server does
    not know the stream any more, it joins again with the legs that it has, and its positions go on counting.

    Leaving the block lets all its legs leave, if that was not done before. Leaving it by an exception does not: what
    was written has two more seconds to become durable, and the stream is interrupted. After the server's resume window
    its legs leave.

    `events` gives the server's messages except acknowledgements, until the stream has ended. Reading them is
    optional; only the newest 1024 are kept for a reader.
    """

    def __init__(self, join: JoinConference, settings: CallSettings, open_stream: Callable[[], Any]) -> None:
        """Prepare a stream; nothing is sent before the block is entered. Made by `Client.record_conference`."""
        super().__init__(RecordConferenceRequest, [member.leg for member in join.legs], settings)
        self._line = ConferenceLine(
            join, settings, self._backlog, open_stream, position=self._position, on_message=self._keep
        )

    @property
    def _lifeline(self) -> ConferenceLine:
        return self._line

    @property
    def _over(self) -> bool:
        return self._line.ended is not None

    @property
    def stream_id(self) -> str:
        """The stream's id; another one once the stream had to be told anew."""
        return self._line.stream_id

    @property
    def opened(self) -> ConferenceOpened | None:
        """The server's answer to the newest opening."""
        return self._line.opened

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The recordings that were completed so far."""
        return tuple(self._line.recordings)

    async def join(self, leg: Leg, frame: int | None = None, **how: bool) -> None:
        """Let a leg join.

        Args:
            leg: The leg; its role is left out.
            frame: Where, in its own rate since the stream's position 0; None means now. What is written of it then
                begins there, or, without a frame, where `write` says.
            **how: `start_on_enter`, `end_on_exit`, `muted`.
        """
        await self._send(RecordConferenceRequest(join_leg=JoinLeg(leg=leg, frame=frame, **how)))
        self._packer.add_leg(leg, frame or 0)

    async def leave(self, leg_id: str, frame: int | None = None) -> None:
        """Let a leg leave, by default after its last audio.

        Raises:
            ValueError: If the leg is unknown.
        """
        self._flush()
        self._packer.remove_leg(leg_id)
        await self._send(RecordConferenceRequest(leave_leg=LeaveLeg(leg_id=leg_id, frame=frame)))

    async def mute(self, leg_id: str, frame: int | None = None, *, muted: bool = True) -> None:
        """Mute or unmute a leg, by default after its last audio."""
        await self._send(RecordConferenceRequest(mute_leg=MuteLeg(leg_id=leg_id, muted=muted, frame=frame)))

    async def close(self) -> None:
        """Let all legs of this stream leave, and wait until that is durable."""
        self._line.closing = True
        await self._send(RecordConferenceRequest(close=CloseConference()))
        await self._backlog.acknowledged()
        self._check()

    async def ended(self) -> ConferenceEnded:
        """Wait for the stream's end: it was closed, or the conference has ended.

        Raises:
            RecorderError: If the stream failed for good.
        """
        await self._done.wait()
        self._check()
        if self._line.ended is None:
            raise unavailable("the stream was left before it ended")
        return self._line.ended

    def _position(self) -> tuple[int, int]:
        self._flush()
        chunks = (chunk for request in self._backlog.waiting() for chunk in request.audio.chunks)
        stands = self._packer.furthest_frame
        unsent = (self._packer.media_frame(chunk.leg_id, chunk.start_frame) for chunk in chunks)
        return min(unsent, default=stands), stands

    def _note_durable(self, request: RecordConferenceRequest) -> None:
        super()._note_durable(request)
        self._line.members.note(request)

"""Conferences whose names nodes share: each has one node, and whoever asks another one is told which."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Protocol
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

import structlog

from recorder_service.domain.application import Application
from recorder_service.domain.conference_name import ConferenceName, Hold
from recorder_service.domain.node import Claim
from recorder_service.domain.options import RecordOptions
from recorder_service.domain.owner import conference_elsewhere
from recorder_service.domain.recording import Recording
from recorder_service.errors import NotFound, RecorderError
from recorder_service.sessions.conference import Conference
from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.conference_values import JoinStream
from recorder_service.sessions.conferences import Conferences
from recorder_service.sessions.surroundings import Background

log = structlog.get_logger(__name__)


class Names(Protocol):
    """The names that nodes have."""

    async def take(self, claim: Claim, hold: Hold, stream_ids: Sequence[UUID], *, inherit: bool) -> str:
        """Take a name, or find who has it; return the node that has it."""

    async def take_again(self, claim: Claim, holds: Mapping[Hold, Sequence[UUID]]) -> frozenset[Hold]:
        """Take the names of a former run, and return those that another node has by now."""

    async def release(self, hold_id: UUID) -> None:
        """Free a name."""

    async def keep(self, claim: Claim, keep_s: float) -> None:
        """Keep all names of this node for some time after it has gone."""

    async def node_of_stream(self, stream_id: UUID, application_id: UUID | None) -> str | None:
        """Return the node that has a stream."""

    async def node_of_conversation(self, conversation_id: str, application_id: UUID | None) -> str | None:
        """Return the node that has a conference."""


class SharedConferences:
    """Stands before the conferences of a node that has neighbours.

    A name is taken before its conference begins and freed after it is over, both behind one lock a name, so that what
    the catalog says and what this node has never disagree for long. It is asked once a join; not for what a stream
    brings, nor for a stream that is resumed here.
    """

    def __init__(
        self,
        conferences: Conferences,
        names: Names,
        claim: Claim,
        *,
        may_inherit: Callable[[], bool],
        background: Background,
        keep_s: float,
    ) -> None:
        """Share the names of `conferences`.

        Args:
            conferences: Those of this node.
            names: The catalog's, guarded by this node's lease.
            claim: This node, in this run.
            may_inherit: Whether another node that looks gone is gone.
            background: Frees names.
            keep_s: How long names are kept for this node when it goes down in order.
        """
        self._conferences = conferences
        self._names = names
        self._claim = claim
        self._may_inherit = may_inherit
        self._background = background
        self._keep_s = keep_s
        self._holds: dict[ConferenceName, Hold] = {}
        self._locks: WeakValueDictionary[ConferenceName, asyncio.Lock] = WeakValueDictionary()
        self._lost: frozenset[Hold] = frozenset()
        conferences.on_over = self._over

    async def join(self, wanted: JoinStream, application: Application) -> ConferenceStream:
        """Let a stream in, and begin its conference if no node has one of that name.

        Goes on to its end even if the caller is cancelled.

        Raises:
            Elsewhere: Another node has the conference.
            RecorderError: As `Conferences.join`.
        """
        self._conferences.check_open()
        return await self._background.run(self._join(wanted, application), f"join:{wanted.stream_id}")

    async def resume(self, stream_id: UUID, application_id: UUID | None) -> ConferenceStream:
        """Return a stream whose RPC was lost.

        Raises:
            Elsewhere: Another node has it.
            NotFound: STREAM_NOT_FOUND.
            Unavailable: DRAINING.
        """
        try:
            return await self._conferences.resume(stream_id, application_id)
        except NotFound:
            await self._refer(self._names.node_of_stream(stream_id, application_id))
            raise

    async def start_recording(
        self, conversation_id: str, application_id: UUID | None, options: RecordOptions | None
    ) -> Recording:
        """Begin a recording of a conference, as `Conferences` does.

        Raises:
            Elsewhere: Another node has it.
            RecorderError: As `Conferences.start_recording`.
        """
        try:
            return await self._conferences.start_recording(conversation_id, application_id, options)
        except NotFound:
            await self._refer(self._names.node_of_conversation(conversation_id, application_id))
            raise

    async def stop_recording(self, conversation_id: str, application_id: UUID | None) -> Recording:
        """End the recording that runs of a conference, as `Conferences` does.

        Raises:
            Elsewhere: Another node has it.
            NotFound: As `Conferences.stop_recording`.
        """
        try:
            return await self._conferences.stop_recording(conversation_id, application_id)
        except NotFound:
            await self._refer(self._names.node_of_conversation(conversation_id, application_id))
            raise

    async def recover(self) -> None:
        """Take the names again of what a former run left. What has a new owner meanwhile is ended from `go_on` on."""
        holds: dict[Hold, Sequence[UUID]] = {}
        for conference in self._conferences.here():
            hold = Hold(uuid4(), _name(conference), conference.conversation_id)
            holds[hold] = [stream.stream_id for stream in conference.streams.values()]
        self._lost = await self._names.take_again(self._claim, holds)
        self._holds = {hold.name: hold for hold in holds if hold not in self._lost}

    def go_on(self) -> None:
        """End the conferences that go on elsewhere, since this node was away for too long."""
        for hold in self._lost:
            log.warning("conference_taken_over", conversation_id=hold.conversation_id)
            work = self._conferences.interrupt(hold.name.application_id, hold.name.name)
            self._background.spawn(work, name=f"taken over:{hold.conversation_id}")

    async def keep(self) -> None:
        """Keep the names of what goes on after the next start; a catalog that is away keeps none."""
        if self._holds:
            with suppress(RecorderError):
                await self._names.keep(self._claim, self._keep_s)

    # Inside

    async def _join(self, wanted: JoinStream, application: Application) -> ConferenceStream:
        name = ConferenceName(application.application_id, wanted.name)
        async with self._alone(name):
            hold = self._holds.get(name)
            if hold is None or self._conferences.find(name.application_id, name.name) is None:
                hold = Hold(uuid4(), name, wanted.conversation_id or f"CON-{uuid4()}")
                wanted = replace(wanted, conversation_id=hold.conversation_id)
            await self._take(hold, wanted.stream_id)
            try:
                stream = await self._conferences.join(wanted, application)
            except BaseException:
                self._over(application.application_id, wanted.name)
                raise
            if stream.conference.conversation_id != hold.conversation_id:
                # The one before it ended between two looks.
                await self._take(replace(hold, conversation_id=stream.conference.conversation_id), wanted.stream_id)
            return stream

    async def _take(self, hold: Hold, stream_id: UUID) -> None:
        owner = await self._names.take(self._claim, hold, [stream_id], inherit=self._may_inherit())
        if owner != self._claim.node_id:
            raise conference_elsewhere(owner)
        self._holds[hold.name] = hold

    async def _refer(self, asked: Awaitable[str | None]) -> None:
        owner = await asked
        if owner is not None and owner != self._claim.node_id:
            raise conference_elsewhere(owner)

    def _over(self, application_id: UUID, name: str) -> None:
        work = self._release(ConferenceName(application_id, name))
        self._background.spawn(work, name=f"free a name:{name}")

    async def _release(self, name: ConferenceName) -> None:
        async with self._alone(name):
            if self._conferences.find(name.application_id, name.name) is not None:
                return
            hold = self._holds.pop(name, None)
            if hold is None:
                return
            try:
                await self._names.release(hold.hold_id)
            except RecorderError as error:
                # The next conference of the name replaces it, here or by way of here; so does the next start.
                log.warning("conference_name_kept", conversation_id=hold.conversation_id, reason=error.reason.name)

    @asynccontextmanager
    async def _alone(self, name: ConferenceName) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield


def _name(conference: Conference) -> ConferenceName:
    return ConferenceName(conference.application.application_id, conference.name)

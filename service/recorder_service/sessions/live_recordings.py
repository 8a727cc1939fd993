"""All live recordings of the node: who may begin one, where one is found, and what a restart brings back."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol
from uuid import UUID

import structlog

from recorder_service.domain.application import Application
from recorder_service.domain.event import Event
from recorder_service.domain.owner import check_owner
from recorder_service.domain.recording import PauseMode, Recording, RecordingKind, RecordingState, StopReason
from recorder_service.errors import Conflict, NotFound, Overloaded, Reason, Unavailable
from recorder_service.journal.replay import Entry, Hole
from recorder_service.sessions import entries
from recorder_service.sessions.admission import Admission, going_down
from recorder_service.sessions.audio_path import SpooledFile
from recorder_service.sessions.facts import Facts, RecordingCatalog, event_id
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.notices import Drain
from recorder_service.sessions.pace import Brake
from recorder_service.sessions.path_factory import PathFactory, start_beep
from recorder_service.sessions.surroundings import Background, Finisher, Meter, Surroundings, Unmetered
from recorder_service.sessions.workers import Workers

log = structlog.get_logger(__name__)

_BEGIN_TIMEOUT_S = 10.0
_RETRY_AFTER_S = 1.0
_LOOK_AGAIN_S = 0.1


class Catalog(RecordingCatalog, Protocol):
    """The catalog, as the node's recordings see it."""

    async def begin(self, recording: Recording, *, event_id: UUID | None = None) -> Event:
        """Commit a new recording and the event of its start."""

    async def get(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Return a recording; one of another application is not found."""

    async def unfinished(self, node_id: str) -> Sequence[Recording]:
        """Return the recordings of a node that have not reached their last state."""


class ReplayableJournal(Journal, Protocol):
    """The node's journal, with what a former run left in it."""

    @property
    def damaged(self) -> bool:
        """Whether something that was durable cannot be read any more."""

    def recordings(self) -> list[UUID]:
        """List the recordings whose files are not stored."""

    def replay(self, *recordings: UUID) -> Iterator[Entry | Hole]:
        """Give their entries, each recording's in order. Blocks."""


class LiveRecordings:
    """The live recordings of one node."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        journal: ReplayableJournal,
        finisher: Finisher,
        factory: PathFactory,
        workers: Workers,
        background: Background,
        admission: Admission,
        brake: Brake,
        node_id: str,
        resume_window_s: float,
        meter: Meter | None = None,
    ) -> None:
        """Start without recordings; `recover` brings back those of a former run."""
        self._catalog = catalog
        self._journal = journal
        self._factory = factory
        self._background = background
        self._node_id = node_id
        self._live: dict[UUID, LiveRecording] = {}
        self._finishing: dict[UUID, asyncio.Task[None]] = {}
        self._admission = admission
        self._starting: dict[UUID, asyncio.Event] = {}
        self._meter = meter or Unmetered()
        self._around = Surroundings(
            journal=journal,
            finisher=finisher,
            workers=workers,
            background=background,
            brake=brake,
            resume_window_s=resume_window_s,
            on_stopped=admission.remove,
            on_ended=self._forget,
            meter=self._meter,
        )

    def __len__(self) -> int:
        """Count the recordings that have not reached their last state."""
        return len(self._live)

    def __iter__(self) -> Iterator[LiveRecording]:
        """Give the recordings that have not reached their last state."""
        return iter(list(self._live.values()))

    async def start(self, wanted: Recording, application: Application) -> LiveRecording:
        """Begin a recording, or return the live one if the same application began it before.

        Goes on to its end even if the caller is cancelled; the recording then waits for a stream.

        Raises:
            Conflict: RECORDING_EXISTS, or RECORDING_NOT_LIVE if it has ended already.
            Elsewhere: Another node has it.
            Overloaded: TOO_MANY_RECORDINGS or DISK_FULL.
            Unavailable: DRAINING, or a part of the service is away.
        """
        while (turn := self._starting.get(wanted.recording_id)) is not None:
            # The same start, sent twice: the second waits for what becomes of the first.
            await turn.wait()
        known = self._live.get(wanted.recording_id)
        if known is not None:
            return self._own(known, application.application_id)
        self._admission.check(application)
        name = f"start:{wanted.recording_id}"
        return await self._background.run(self._start_once(replace(wanted, node_id=self._node_id)), name)

    def find(self, recording_id: UUID, application_id: UUID | None) -> LiveRecording | None:
        """Return a live recording of an application (None: of any), or None."""
        live = self._live.get(recording_id)
        if live is None or application_id not in {None, live.recording.application_id}:
            return None
        return live

    async def resume(self, recording_id: UUID, application_id: UUID | None) -> LiveRecording:
        """Return the live recording that a stream wants to go on with.

        Raises:
            NotFound: RECORDING_NOT_FOUND.
            Conflict: RECORDING_NOT_LIVE.
            Elsewhere: Another node has it.
        """
        self.check_open()
        live = self.find(recording_id, application_id)
        if live is not None:
            return live
        recording = await self._catalog.get(recording_id, application_id)
        check_owner(recording, self._node_id)
        raise Conflict(
            Reason.RECORDING_NOT_LIVE,
            f"recording {recording_id} is {recording.state.value}: it takes no more audio",
            details={"state": recording.state.value},
        )

    def check_open(self) -> None:
        """Refuse everything new while the node goes down.

        Raises:
            Unavailable: DRAINING.
        """
        if self._admission.draining:
            raise going_down()

    async def stop(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """End a recording and return it; one that has ended is returned as it is.

        Raises:
            NotFound: RECORDING_NOT_FOUND.
            Elsewhere: Another node has it.
        """
        live = self.find(recording_id, application_id)
        if live is None:
            recording = await self._catalog.get(recording_id, application_id)
            if recording.state.live:
                check_owner(recording, self._node_id)
            return recording
        await asyncio.wait((live.end(StopReason.REQUESTED),), timeout=_BEGIN_TIMEOUT_S)
        return live.recording

    async def pause(self, recording_id: UUID, application_id: UUID | None, mode: PauseMode) -> Recording:
        """Drop a recording's audio from now on and return it.

        Raises:
            NotFound: RECORDING_NOT_FOUND.
            Conflict: RECORDING_NOT_LIVE.
        """
        return await (await self.resume(recording_id, application_id)).pause(mode)

    async def unpause(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Keep a recording's audio again and return it.

        Raises:
            NotFound: RECORDING_NOT_FOUND.
            Conflict: RECORDING_NOT_LIVE.
        """
        return await (await self.resume(recording_id, application_id)).resume()

    async def recover(self) -> int:
        """Bring back what a former run left unfinished, and return how many recordings that is.

        Each waits for its stream, or goes on finishing, from `go_on` on. What the journal does not know had no audio.
        """
        unfinished = await self._catalog.unfinished(self._node_id)
        for recording in unfinished:
            sealed = self._factory.sealed(recording.recording_id)
            if sealed is not None and recording.state is RecordingState.FINISHING:
                self._finish_sealed(recording, sealed)
                continue
            self._admission.add(recording.recording_id, recording.application_id)
            self._live[recording.recording_id] = await asyncio.to_thread(self._assemble, recording)
        await asyncio.to_thread(self._replay)
        for stale in set(self._journal.recordings()) - self._live.keys() - self._finishing.keys():
            await self._release_stored(stale)
        return len(unfinished)

    def go_on(self) -> None:
        """Let what was brought back live again. Call it once streams can come: their time to do so begins here."""
        for live in self:
            self._meter.brought_back(live.recording.recording_id, live.received)
            live.go_on()

    def end_all(self, reason: StopReason) -> None:
        """End every recording in order."""
        for live in self:
            live.end(reason)

    def drain(self, retry_after_s: float) -> None:
        """Take no more recordings and ask the senders to come back elsewhere."""
        self._admission.drain()
        for live in self:
            live.notify(Drain(retry_after_s))

    async def wait_idle(self) -> None:
        """Wait until no recording has a stream or is being finished; those that wait for a stream do not count."""
        while busy := [live for live in self if live.busy]:
            ending = [live.ending for live in busy if live.ending is not None]
            if ending:
                await asyncio.wait(ending, timeout=_LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(_LOOK_AGAIN_S)

    def _finish_sealed(self, recording: Recording, sealed: SpooledFile) -> None:
        """Go on finishing a recording whose file a former run made: there is nothing to render again."""

        async def finish() -> None:
            facts = Facts(self._catalog, recording.recording_id, self._meter.told)
            await self._around.finisher.finish(recording, sealed, facts)
            self._journal.release(recording.recording_id)
            del self._finishing[recording.recording_id]

        name = f"finish:{recording.recording_id}"
        self._finishing[recording.recording_id] = self._background.spawn(finish(), name=name)

    async def _release_stored(self, recording_id: UUID) -> None:
        """Release a recording whose file is stored but whose release was lost; what failed stays for a rescue."""
        with contextlib.suppress(NotFound):
            state = (await self._catalog.get(recording_id, None)).state
            if state is RecordingState.FAILED:
                return
            if state.live or state is RecordingState.FINISHING:
                # The catalog says that another node has it, but its audio is here: a lost or foreign node id.
                log.error("recording_of_another_node", recording_id=str(recording_id), state=state.value)
                return
        self._journal.release(recording_id)

    def _replay(self) -> None:
        unknown = set(self._live)
        for item in self._journal.replay(*self._live):
            live = self._live[item.recording]
            unknown.discard(item.recording)
            if isinstance(item, Hole):
                log.error("journal_hole", recording_id=str(item.recording), missing_count=item.missing_count)
                live.restore_hole()
            else:
                live.restore(entries.decode(item.kind, item.payload))
        if self._journal.damaged:
            # Damage may have taken all there was of these, or there was nothing: the doubt stays on record.
            for recording_id in unknown:
                self._live[recording_id].restore_hole()

    async def _start_once(self, recording: Recording) -> LiveRecording:
        turn = self._starting[recording.recording_id] = asyncio.Event()
        self._admission.add(recording.recording_id, recording.application_id)
        try:
            return await self._start(recording)
        finally:
            if recording.recording_id not in self._live:
                self._admission.remove(recording.recording_id)
            del self._starting[recording.recording_id]
            turn.set()

    async def _start(self, recording: Recording) -> LiveRecording:
        try:
            live = await asyncio.to_thread(self._assemble, recording)
        except OSError as error:
            message = f"the spool cannot be written ({error.strerror}): make room on the data directory's disk"
            raise Overloaded(Reason.DISK_FULL, message, retry_after_s=_RETRY_AFTER_S) from error
        try:
            async with asyncio.timeout(_BEGIN_TIMEOUT_S):
                await self._catalog.begin(recording, event_id=event_id(recording.recording_id, "started"))
        except Conflict:
            live.discard()
            live = await asyncio.to_thread(self._assemble, await self._untold(recording))
        except TimeoutError:
            live.discard()
            message = f"the catalog did not answer within {_BEGIN_TIMEOUT_S:g} s"
            raise Unavailable(Reason.CATALOG_FAILED, message, retry_after_s=_RETRY_AFTER_S) from None
        except BaseException:
            live.discard()
            raise
        self._live[recording.recording_id] = live
        self._meter.started(recording)
        log.info(
            "recording_started",
            recording_id=str(recording.recording_id),
            application_id=str(recording.application_id),
            kind=recording.kind.value,
            legs=len(recording.legs),
        )
        if recording.kind is RecordingKind.CALL:
            live.await_stream()
            if beep := start_beep(recording):
                live.feed.greet(beep)
        await self._journal.wait_durable(live.begin(), _BEGIN_TIMEOUT_S)
        return live

    async def _untold(self, recording: Recording) -> Recording:
        """Return what an earlier try to start this recording committed, if that try never learnt of it.

        Raises:
            Conflict: RECORDING_EXISTS or RECORDING_NOT_LIVE, it is there and not to be begun.
        """
        try:
            stored = await self._catalog.get(recording.recording_id, recording.application_id)
        except NotFound:
            message = f"recording_id {recording.recording_id} is taken: choose a new random UUID"
            raise Conflict(Reason.RECORDING_EXISTS, message, details={"field": "open.start.recording_id"}) from None
        check_owner(stored, self._node_id)
        if stored.node_id == self._node_id and stored.state is RecordingState.RECORDING:
            return stored
        raise Conflict(
            Reason.RECORDING_NOT_LIVE,
            f"recording {recording.recording_id} is {stored.state.value} already: choose a new UUID for a new one",
            details={"state": stored.state.value},
        )

    def _assemble(self, recording: Recording) -> LiveRecording:
        built = self._factory.build(recording)
        facts = Facts(self._catalog, recording.recording_id, self._meter.told)
        return LiveRecording(recording, path=built.path, rules=built.rules, facts=facts, around=self._around)

    @staticmethod
    def _own(live: LiveRecording, application_id: UUID) -> LiveRecording:
        if live.recording.application_id != application_id:
            message = f"recording_id {live.recording.recording_id} is taken: choose a new random UUID"
            raise Conflict(Reason.RECORDING_EXISTS, message, details={"field": "open.start.recording_id"})
        return live

    def _forget(self, recording_id: UUID) -> None:
        self._live.pop(recording_id, None)
        self._admission.remove(recording_id)

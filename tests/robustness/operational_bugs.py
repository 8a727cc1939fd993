"""Bugs that the scenarios of disks, stores, peers and restarts must notice; see `planted.py` for how they get in."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recorder_service.api import server
from recorder_service.bootstrap.node import Node
from recorder_service.config import Settings
from recorder_service.disk import DiskWatch
from recorder_service.domain.recording import StopReason
from recorder_service.journal.groups import PendingEntry
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.shelf import Shelf
from recorder_service.journal.writer import Writer
from recorder_service.sessions import entries, facts
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.intake import AudioChunk
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.live_recordings import LiveRecordings
from recorder_service.sessions.notices import Outlet

_TOO_LONG_S = 0.5
_FIRST_SECOND = 51
_DECODED_BYTES = 16


def plant(owner: object, name: str, bug: object) -> None:
    """Put a bug in the place of a product function."""
    setattr(owner, name, bug)


def marks_refuse_nobody() -> None:
    """Take new recordings whatever the disk's marks say."""
    plant(DiskWatch, "refusal", lambda _self: None)


def full_disk_is_acknowledged() -> None:
    """Go on without the entries that a full disk did not take."""

    def pretend(_writer: Writer, _batch: list[PendingEntry]) -> list[bytes]:
        return []

    plant(Writer, "_store_when_room", pretend)


def waiting_recordings_count() -> None:
    """Count a recording as live until its file is stored."""
    real = LiveRecordings.__init__

    def begin(recordings: LiveRecordings, **parts: Any) -> None:
        real(recordings, **parts)
        recordings._around = replace(recordings._around, on_stopped=lambda _recording_id: None)

    plant(LiveRecordings, "__init__", begin)


def groups_gather_too_long() -> None:
    """Sync twice a second instead of a hundred times."""
    real = Writer.__init__

    def begin(writer: Writer, shelf: Shelf, settings: JournalSettings) -> None:
        real(writer, shelf, replace(settings, commit_interval_s=_TOO_LONG_S))

    plant(Writer, "__init__", begin)


def grace_is_for_nobody() -> None:
    """Cut every stream at the first signal."""
    real = Node.__init__

    def begin(node: Node, settings: Settings) -> None:
        real(node, settings)
        node._stop_now.set()

    plant(Node, "__init__", begin)


def replay_stops_early() -> None:
    """Forget what the journal holds of a recording after its first second."""
    real = LiveRecording.restore

    def restore(live: LiveRecording, entry: entries.Entry) -> None:
        if not isinstance(entry, entries.Audio) or entry.sequence < _FIRST_SECOND:
            real(live, entry)

    plant(LiveRecording, "restore", restore)


def end_of_stream_is_a_hang_up() -> None:
    """Take a stream that ends for a call that ended."""
    real = LiveRecording.detach

    def detach(live: LiveRecording, outlet: Outlet) -> None:
        real(live, outlet)
        live.end(StopReason.HANGUP)

    plant(LiveRecording, "detach", detach)


def dead_lines_are_kept() -> None:
    """Do not ask clients whether they live."""
    plant(
        server,
        "TRANSPORT_OPTIONS",
        tuple(option for option in server.TRANSPORT_OPTIONS if "keepalive" not in option[0]),
    )


def everything_received_is_kept_decoded() -> None:
    """Hold on to all audio, sixteen bytes a frame."""
    kept: list[bytes] = []
    real = LiveRecording.receive_audio

    def receive(live: LiveRecording, sequence: int, chunks: Sequence[AudioChunk], feed: int = 0) -> None:
        kept.append(b"\1" * (_DECODED_BYTES * sum(len(chunk.payload) for chunk in chunks)))
        real(live, sequence, chunks, feed)

    plant(LiveRecording, "receive_audio", receive)


def ended_recordings_keep_their_encoder() -> None:
    """Never let go of what a recording was rendered with."""
    kept: list[AudioPath] = []

    def release(path: AudioPath) -> None:
        kept.append(path)

    plant(AudioPath, "release", release)


def store_errors_are_ignored() -> None:
    """Take what S3 did not take for stored and verified."""
    from recorder_service.storage.s3 import S3Store

    real = S3Store.store

    async def store(self: S3Store, key: str, source: Path, *, size_bytes: int, sha256: str) -> None:
        with contextlib.suppress(Exception):
            await real(self, key, source, size_bytes=size_bytes, sha256=sha256)

    async def verify(_self: S3Store, _key: str, *, size_bytes: int, sha256: str) -> None:
        """Believe it."""

    plant(S3Store, "store", store)
    plant(S3Store, "verify", verify)


def catalog_is_asked_once() -> None:
    """Give a fact up when the catalog does not take it."""

    async def once(work: Callable[[], Awaitable[object]], *_names: object, **_options: object) -> object:
        return await work()

    plant(facts, "persist", once)

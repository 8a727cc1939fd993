"""Opens a journal's directory: lock, recovery, first segment."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from recorder_service.errors import Reason, StartupError
from recorder_service.journal.ownership import DirectoryLock, Epoch, read_epoch, write_epoch
from recorder_service.journal.recovery import recover
from recorder_service.journal.report import Recovery
from recorder_service.journal.segments import no_room, sync_directory
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Opened:
    """A directory that is owned, recovered, and ready to be written.

    Attributes:
        lock: Held until it is released.
        shelf: Its segments.
        report: What recovery found.
    """

    lock: DirectoryLock
    shelf: Shelf
    report: Recovery


def open_directory(directory: Path, settings: JournalSettings) -> Opened:
    """Take a directory, recover it, and begin a segment.

    Raises:
        StartupError: Another process owns it, a newer version wrote it, or the disk fails.
    """
    try:
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True)
            sync_directory(directory.parent)
        lock = DirectoryLock(directory)
    except OSError as error:
        raise _cannot_open(directory, error) from error
    try:
        return _open_locked(directory, settings, lock)
    except OSError as error:
        lock.release()
        raise _cannot_open(directory, error) from error
    except BaseException:
        lock.release()
        raise


def _open_locked(directory: Path, settings: JournalSettings, lock: DirectoryLock) -> Opened:
    epoch = read_epoch(directory)
    found = recover(directory, epoch)
    with contextlib.suppress(OSError):
        # Each segment carries the epoch too; a disk too full for this file must not stop the start.
        write_epoch(directory, Epoch(found.report.epoch, epoch.closed_at))
    shelf = Shelf(
        directory,
        settings=settings,
        holdings=found.holdings,
        epoch=found.report.epoch,
        next_lsn=found.report.next_lsn,
        next_number=found.next_number,
        last=found.last,
    )
    try:
        shelf.prepare()
    except OSError as error:
        if not no_room(error):
            raise
        # The writer begins the segment when there is room; until then the reserve is of more use to it.
        shelf.give_up_reserve()
    return Opened(lock, shelf, found.report)


def _cannot_open(directory: Path, error: OSError) -> StartupError:
    return StartupError(
        Reason.JOURNAL_FAILED,
        f"The journal in {directory} cannot be opened ({error}): check that the directory is writable and its disk "
        "is sound.",
        details={"field": "journal.directory", "value": str(directory)},
    )

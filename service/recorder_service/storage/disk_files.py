"""The blocking half of the directory store: files put in place, read back and removed. Called in worker threads."""

import contextlib
import errno
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from recorder_service.errors import Damaged, NotFound, Reason, Unavailable
from recorder_service.storage.synced_files import (
    copy,
    hash_of,
    make_directories,
    opened,
    sync_directory,
    sync_path,
    write_new,
)

INCOMING = ".incoming"
MARKER = ".recorder-store"
STALE_INCOMING_S = 24 * 3600
_RENAME_ATTEMPTS = 5
# Another file system, no hard links there, too many links, or a file that may not be linked: copy instead.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True, slots=True)
class Content:
    """What a file must hold; `sha256` is lower-case hex."""

    size_bytes: int
    sha256: str


def prepare(root: Path, *, stale_s: float = STALE_INCOMING_S) -> None:
    """Make the store's directory if needed, prove it writable, and clear what a crash left half placed.

    Other nodes may share the directory, so only leftovers older than `stale_s` go.

    Raises:
        OSError: A step failed.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    incoming = root / INCOMING
    incoming.mkdir(mode=0o700, exist_ok=True)
    probe = incoming / f"probe-{secrets.token_hex(8)}"
    try:
        write_new(probe, b"writable\n")
    finally:
        probe.unlink(missing_ok=True)
    with contextlib.suppress(FileExistsError):
        write_new(root / MARKER, b"Recordings of Recorder. Without this file the volume counts as not mounted.\n")
    sync_directory(root)
    _clear_stale(incoming, stale_s)


def require_present(root: Path) -> None:
    """Make sure that the store itself is there, not the empty mount point it should be mounted on.

    Raises:
        Unavailable: STORAGE_FAILED, when the marker that `prepare` wrote is missing.
    """
    if not (root / MARKER).is_file():
        raise Unavailable(
            Reason.STORAGE_FAILED,
            f"file store {root} has no {MARKER} file: mount the volume that holds the recordings",
            retry_after_s=30,
        )


def place(
    root: Path, key: str, source: Path, content: Content, stop: threading.Event, *, link: Callable[[Path, Path], None]
) -> None:
    """Put `source` under its key: after a crash the whole file is there, or none.

    A hard link costs nothing and shares the source's inode: it is a second name, not a second copy. Where no link
    can be made the bytes are copied. A file that is already there with the right content is only synced again.

    Raises:
        Damaged: The source is missing or has another size than promised.
        Unavailable: The store is not mounted.
        OSError: A step failed; nothing is left under the temporary name as far as the disk allows.
        Interrupted: `stop` was set.
    """
    require_present(root)
    target = root / key
    if not _already_placed(target, content, stop):
        temporary = root / INCOMING / secrets.token_hex(16)
        try:
            _link_or_copy(source, temporary, stop, link)
            _sync_file(temporary, content.size_bytes)
            _rename_into(root, temporary, target)
        finally:
            # Also after success: renaming one name of an inode onto another name of the same inode does nothing.
            temporary.unlink(missing_ok=True)
    sync_path(root, target.parent)


def compare(root: Path, key: str, content: Content, stop: threading.Event) -> None:
    """Read the file back from its place and compare size and hash.

    What this proves: at this moment the name leads to the bytes that were hashed while they were written. The kernel
    is asked to drop its cached pages first, so that a failed write-back shows as it would after a reboot. It may
    refuse (pages in use, some file systems), and the disk's own cache is out of reach. After a hard link there is one
    inode with two names: when the spool's name goes, no second copy of the bytes remains.

    Raises:
        Damaged: Other bytes, or no file.
        Unavailable: The store is not mounted.
        OSError: Reading failed.
        Interrupted: `stop` was set.
    """
    try:
        with _found(root, key), opened(root / key) as descriptor:
            stored_bytes = os.fstat(descriptor).st_size
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            fault = ""
            if stored_bytes != content.size_bytes:
                fault = f"has {stored_bytes} bytes, not {content.size_bytes}"
            elif hash_of(descriptor, stop) != content.sha256:
                fault = "has another SHA-256 than recorded"
    except NotFound:
        fault = "is missing"
    if fault:
        raise Damaged(Reason.DAMAGED, f"stored file {key} {fault}", details={"object_key": key})


def stored_size(root: Path, key: str) -> int:
    """Look up the size of a stored file in bytes.

    Raises:
        NotFound: FILE_NOT_FOUND.
        Unavailable: The store is not mounted.
        OSError: The look-up failed.
    """
    with _found(root, key):
        return (root / key).stat(follow_symlinks=False).st_size


def read_block(root: Path, key: str, offset: int, length: int) -> bytes:
    """Read up to `length` bytes; none beyond the end.

    The file is opened for each block, so that a reader who stops, for whatever reason, holds nothing, and a file that
    is erased frees its room at once however slow its last reader is.

    Raises:
        NotFound: FILE_NOT_FOUND.
        Unavailable: The store is not mounted.
        OSError: Reading failed.
    """
    with _found(root, key), opened(root / key) as descriptor:
        return os.pread(descriptor, length, offset)


def remove(root: Path, key: str) -> None:
    """Remove a file for good, and the directories it leaves empty. One that is not there is no error.

    Raises:
        Unavailable: The store is not mounted: nothing was removed.
        OSError: A step failed.
    """
    require_present(root)
    target = root / key
    try:
        target.unlink(missing_ok=True)
        sync_directory(target.parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    # Directories of days gone by. One that is not empty, or that another thread just removed, stays as it is.
    with contextlib.suppress(OSError):
        for parent in target.relative_to(root).parents[:-1]:
            (root / parent).rmdir()


def _already_placed(target: Path, content: Content, stop: threading.Event) -> bool:
    try:
        with opened(target) as descriptor:
            if os.fstat(descriptor).st_size != content.size_bytes or hash_of(descriptor, stop) != content.sha256:
                return False
            os.fsync(descriptor)
            return True
    except (FileNotFoundError, NotADirectoryError):
        return False


def _link_or_copy(source: Path, temporary: Path, stop: threading.Event, link: Callable[[Path, Path], None]) -> None:
    try:
        if not stat.S_ISREG(source.stat(follow_symlinks=False).st_mode):
            raise Damaged(Reason.DAMAGED, f"{source} is not a regular file and cannot be stored")
        link(source, temporary)
    except FileNotFoundError:
        if source.exists():
            raise
        raise Damaged(Reason.DAMAGED, f"{source} is missing and cannot be stored") from None
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        copy(source, temporary, stop)


def _sync_file(path: Path, size_bytes: int) -> None:
    with opened(path) as descriptor:
        found_bytes = os.fstat(descriptor).st_size
        if found_bytes != size_bytes:
            raise Damaged(Reason.DAMAGED, f"file to store has {found_bytes} bytes, not {size_bytes}")
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)


def _rename_into(root: Path, temporary: Path, target: Path) -> None:
    for attempt in range(_RENAME_ATTEMPTS):
        try:
            make_directories(root, target.parent)
            temporary.rename(target)
        except FileNotFoundError:
            # A removal may take an empty directory away between the two steps.
            if attempt == _RENAME_ATTEMPTS - 1:
                raise
        else:
            return


def _clear_stale(incoming: Path, stale_s: float) -> None:
    oldest = time.time() - stale_s
    for path in incoming.iterdir():
        with contextlib.suppress(FileNotFoundError):
            # Not the time of its content, which a hard link shares with the spool file, but of its own name.
            if path.stat(follow_symlinks=False).st_ctime < oldest:
                path.unlink()


@contextlib.contextmanager
def _found(root: Path, key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        require_present(root)
        raise NotFound(Reason.FILE_NOT_FOUND, f"there is no stored file {key}") from None

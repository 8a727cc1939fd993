"""Bugs planted into a real server process: `python -m tests.robustness.planted BUG serve ...`.

A scenario that stays green with a bug it names proves nothing. BUG is a name in `BUGS`, or `package.module:function`
for bugs that live elsewhere. The function replaces product functions before the command line runs.
"""

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

BUGS: dict[str, Callable[[], None]] = {}


def planted(bug: str) -> tuple[str, ...]:
    """Return what a `Server` takes as its `module` to run with a bug."""
    return (__name__, bug)


def bug(plant: Callable[[], None]) -> Callable[[], None]:
    """Register a bug under its function's name."""
    BUGS[plant.__name__] = plant
    return plant


def replace(owner: Any, name: str, bad: Any) -> None:
    """Put something bad in the place of a function; where there is none, the product has moved on."""
    assert hasattr(owner, name), f"{owner} has no {name}: the planted bug must follow the product"
    setattr(owner, name, bad)


def find(name: str) -> Callable[[], None]:
    """Return a bug by name or by `package.module:function`."""
    if ":" not in name:
        return BUGS[name]
    module, _, function = name.partition(":")
    found: Callable[[], None] = getattr(importlib.import_module(module), function)
    return found


@bug
def ack_before_write() -> None:
    """Acknowledge what was accepted, before the writer's thread has seen it."""
    from recorder_service.journal.journal import Journal

    replace(Journal, "durable_lsn", property(lambda journal: journal._intake._next_lsn - 1))


@bug
def ack_before_fsync() -> None:
    """Acknowledge a group when it is written; sync it a tenth of a second later, and only log it if that fails."""
    real = os.fdatasync

    def sync(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            real(descriptor)

    def later(descriptor: int) -> None:
        threading.Timer(0.1, sync, (descriptor,)).start()

    replace(os, "fdatasync", later)


@bug
def skip_directory_fsync() -> None:
    """Create and rename segments without making their names durable."""
    from recorder_service.journal import opening, segments, shelf

    for module in (opening, segments, shelf):
        replace(module, "sync_directory", lambda _: None)


@bug
def retry_fsync_after_error() -> None:
    """Call fdatasync again after it failed, and believe the second answer."""
    real = os.fdatasync

    def stubborn(descriptor: int) -> None:
        try:
            real(descriptor)
        except OSError:
            real(descriptor)

    replace(os, "fdatasync", stubborn)


@bug
def ignore_fsync_error() -> None:
    """Log the error of fdatasync and go on."""
    real = os.fdatasync

    def careless(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            real(descriptor)

    replace(os, "fdatasync", careless)


@bug
def cut_below_durable_mark() -> None:
    """Take whatever follows a segment's checkpoint for a torn tail when the process was killed."""
    from recorder_service.journal import opening, recovery
    from recorder_service.journal.groups import Group
    from recorder_service.journal.reader import SegmentReader
    from recorder_service.journal.segments import segment_numbers, segment_path

    recover = recovery.recover

    def cutting(directory: Path, epoch: Any) -> Any:
        if numbers := segment_numbers(directory):
            path = segment_path(directory, numbers[-1])
            with SegmentReader(path, numbers[-1], None) as reader:
                last = [group for group in reader.groups() if isinstance(group, Group)][-1:]
            if last and not last[0].checkpoint:
                os.truncate(path, last[0].place.offset)
        return recover(directory, epoch)

    replace(opening, "recover", cutting)


@bug
def restore_without_audio() -> None:
    """After a restart go on at the right sequence, without placing the audio that came before."""
    from recorder_service.sessions.entries import Audio
    from recorder_service.sessions.replaying import Replaying

    do = Replaying.do

    def forgetful(replaying: Any, entry: Any) -> None:
        if not isinstance(entry, Audio):
            do(replaying, entry)

    replace(Replaying, "do", forgetful)


@bug
def release_before_seal() -> None:
    """Release the journal when the recording stops instead of when its file is stored."""
    from recorder_service.sessions.ending import Ending

    close = Ending._close

    async def hasty(ending: Any, *arguments: Any) -> Any:
        finished = await close(ending, *arguments)
        # Durable at once, or the kill may come before the release is worth anything.
        journal = ending._parts.around.journal
        await journal.wait_durable(journal.release(ending._id), 5.0)
        return finished

    replace(Ending, "_close", hasty)


@bug
def finish_on_half_close() -> None:
    """Take the end of the requests for a hang-up."""
    from recorder_service.api.call_stream import CallStream
    from recorder_service.domain.recording import StopReason

    read = CallStream._read

    async def trusting(stream: Any, live: Any, requests: Any, inbox: Any) -> None:
        try:
            await read(stream, live, requests, inbox)
        finally:
            live.end(StopReason.HANGUP)

    replace(CallStream, "_read", trusting)


def main() -> None:
    """Plant the bug and run the product's command line with the rest of the arguments."""
    from recorder_service.cli import main as recorder

    find(sys.argv[1])()
    del sys.argv[1]
    recorder()


if __name__ == "__main__":
    main()

"""What the service and its render processes say to each other, over a socket that nobody else has."""

import contextlib
import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from recorder_service.audio.finished import Finished
from recorder_service.audio.plan import Plan, Progress
from recorder_service.audio.steps import Step

_LENGTH = struct.Struct("<I")


class Work(NamedTuple):
    """Something to be done for one rendition; a tuple, because it is sent for every second of every call.

    Attributes:
        number: The rendition's.
        plan: Begin it.
        steps: Do these.
        end_frame: Finish it there, after the steps; None to go on.
    """

    number: int
    plan: Plan | None = None
    steps: Sequence[Step] = ()
    end_frame: int | None = None


class Request(NamedTuple):
    """Work for some renditions, in order: a message costs more than a second of audio in it.

    Attributes:
        works: One for each rendition.
        forget: Numbers of renditions that are over.
    """

    works: Sequence[Work]
    forget: Sequence[int] = ()


class Answer(NamedTuple):
    """What came of a work, or a part of it; a tuple, as `Work` is.

    Attributes:
        pieces: The next bytes of the file.
        progress: How far the rendition has come; None while more answers to the same work follow.
        finished: What the file still lacks, where it was finished.
        failure: What went wrong, for people; empty if nothing did.
    """

    pieces: Sequence[bytes] = ()
    progress: Progress | None = Progress()
    finished: Finished | None = None
    failure: str = ""


class Wire:
    """One end of the socket; messages are pickled, as both ends are the same program."""

    def __init__(self, end: socket.socket) -> None:
        """Take the end over; it blocks."""
        self._end = end

    def send(self, message: Request | Sequence[Answer]) -> None:
        """Send a message.

        Raises:
            OSError: The other end is gone.
        """
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        sent = self._end.sendmsg((_LENGTH.pack(len(data)), data))
        if sent < _LENGTH.size + len(data):
            self._end.sendall(memoryview(_LENGTH.pack(len(data)) + data)[sent:])

    def receive(self) -> Any:
        """Wait for a message; None when the other end is closed.

        A side sends again only when it was answered, so nothing follows a message. Each time bytes are waited for costs
        a turn at the interpreter's lock: hence the length, and then all the rest at once.
        """
        head = self._exactly(_LENGTH.size)
        data = None if head is None else self._exactly(_LENGTH.unpack(head)[0])
        return None if data is None else pickle.loads(data)  # noqa: S301 - from our own other end

    def _exactly(self, size_bytes: int) -> bytearray | None:
        """Wait for so many bytes; a signal may cut the wait short."""
        data = bytearray(size_bytes)
        with memoryview(data) as view:
            at = 0
            while at < size_bytes:
                count = self._end.recv_into(view[at:], 0, socket.MSG_WAITALL)
                if not count:
                    return None
                at += count
        return data

    def close(self) -> None:
        """Close this end; whoever waits at it, or at the other one, learns of it. Closing it twice is harmless."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

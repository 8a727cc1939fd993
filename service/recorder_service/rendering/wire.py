"""What the service and its render processes say to each other, over a socket that nobody else has."""

import contextlib
import pickle
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from recorder_service.audio.finished import Finished
from recorder_service.audio.rendition import Plan, Progress
from recorder_service.audio.steps import Step

_LENGTH = struct.Struct("<I")
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Request:
    """Something to be done for one rendition.

    Attributes:
        number: The rendition's.
        plan: Begin it.
        steps: Do these.
        end_frame: Finish it there, after the steps; None to go on.
        forget: Numbers of renditions that are over.
    """

    number: int
    plan: Plan | None = None
    steps: Sequence[Step] = ()
    end_frame: int | None = None
    forget: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request, or a part of it.

    Attributes:
        pieces: The next bytes of the file.
        progress: How far the rendition has come; None while more answers to the same request follow.
        finished: What the file still lacks, where it was finished.
        failure: What went wrong, for people; empty if nothing did.
    """

    pieces: Sequence[bytes] = ()
    progress: Progress | None = field(default_factory=Progress)
    finished: Finished | None = None
    failure: str = ""


class Wire:
    """One end of the socket; messages are pickled, as both ends are the same program."""

    def __init__(self, end: socket.socket) -> None:
        """Take the end over; it blocks."""
        self._end = end
        self._buffer = bytearray()

    def send(self, message: Request | Answer) -> None:
        """Send a message.

        Raises:
            OSError: The other end is gone.
        """
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        sent = self._end.sendmsg((_LENGTH.pack(len(data)), data))
        if sent < _LENGTH.size + len(data):
            self._end.sendall(memoryview(_LENGTH.pack(len(data)) + data)[sent:])

    def receive(self) -> Any:
        """Wait for a message; None when the other end is closed."""
        buffer = self._buffer
        while len(buffer) < _LENGTH.size or len(buffer) < _LENGTH.size + _LENGTH.unpack_from(buffer)[0]:
            data = self._end.recv(_READ_BYTES)
            if not data:
                return None
            buffer += data
        end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
        with memoryview(buffer) as view:
            message = pickle.loads(view[_LENGTH.size : end])  # noqa: S301 - from our own other end
        del buffer[:end]
        return message

    def close(self) -> None:
        """Close this end; whoever waits at it, or at the other one, learns of it. Closing it twice is harmless."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

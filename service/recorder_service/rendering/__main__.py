"""`python -m recorder_service.rendering FD`: renders what comes over a socket until its other end is closed.

It keeps nothing but the state of encoders and filters, and touches no file: whatever becomes of it, nothing is lost
that the journal does not give back.
"""

import os
import signal
import socket
import sys
import traceback

from recorder_service.audio.rendition import Rendition
from recorder_service.rendering.wire import Answer, Request, Wire, Work

# How much of a file is sent at once: a long silence never lies in memory as a whole.
_ANSWER_BYTES = 1 << 18
_NICENESS = 10


class Renditions:
    """Those of one process, by number."""

    def __init__(self, wire: Wire) -> None:
        """Answer over `wire`."""
        self._wire = wire
        self._renditions: dict[int, Rendition] = {}
        self._answers: list[Answer] = []
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def run(self) -> None:
        """Serve until the other end is closed."""
        while (request := self._wire.receive()) is not None:
            self._serve(request)

    def _serve(self, request: Request) -> None:
        for number in request.forget:
            self._renditions.pop(number, None)
        for work in request.works:
            try:
                answer = self._answer(work)
            except Exception:  # noqa: BLE001 - whoever asked has to know, and the others go on
                self._renditions.pop(work.number, None)
                answer = Answer(failure=traceback.format_exc(limit=-3))
            self._answers.append(answer)
            self._pieces = []
        self._send()

    def _answer(self, work: Work) -> Answer:
        if work.plan is not None:
            rendition = self._renditions[work.number] = Rendition(work.plan)
            return Answer((), rendition.progress)
        rendition = self._renditions[work.number]
        if work.end_frame is None:
            progress = rendition.take(work.steps, self._write)
            return Answer(self._pieces, progress)
        finished, progress = rendition.finish(work.steps, work.end_frame, self._write)
        return Answer(self._pieces, progress, finished)

    def _write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes >= _ANSWER_BYTES:
            self._answers.append(Answer(self._pieces, None))
            self._pieces = []
            self._send()

    def _send(self) -> None:
        self._wire.send(self._answers)
        self._answers, self._size_bytes = [], 0


def main() -> None:
    """Serve on the descriptor that was inherited."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # They mean the service, which closes the socket when it has finished what runs.
        signal.signal(number, signal.SIG_IGN)
    # What is received and acknowledged goes first where processors are short.
    os.nice(_NICENESS)
    wire = Wire(socket.socket(fileno=int(sys.argv[1])))
    try:
        Renditions(wire).run()
    except OSError:
        # The service is gone; what it had acknowledged is in its journal.
        pass
    finally:
        wire.close()


if __name__ == "__main__":
    main()

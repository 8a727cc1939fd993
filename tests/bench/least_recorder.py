"""The least program that does what Recorder does with audio.

`python -m tests.bench.least_recorder WAITS [--wav]` prints its port and serves until SIGTERM; `tests.bench.least_cost`
measures it. At its end it writes to the file WAITS how long the oldest message of each group took to be durable, s.

It receives with `grpc.aio`, reads the messages, syncs them in groups, acknowledges what is durable, mixes whole
seconds, encodes them in two processes and writes the files: with the same libraries, rounds, groups and intervals as
the service. It checks nothing: no token, no sequence, no place of a chunk, no gap; it knows neither keys, pauses,
silence and resumption nor events, catalog and metrics. No service made of these parts can cost less.
"""

import asyncio
import itertools
import json
import multiprocessing
import os
import pickle
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from tests.bench.bare_receiver import run

from recorder.v1 import media_pb2, recorder_service_pb2

ItemT = TypeVar("ItemT")

_RENDER_PROCESSES = 2
_ROUND_S = 0.02
_GROUP_S = 0.01
_GATHER_S = 0.1
_ACK_INTERVAL_S = 0.5
_BLOCK_FRAMES = 16_000
_INT16 = np.iinfo(np.int16)


class Batches(Generic[ItemT]):
    """Deals in a thread of its own with all that was put within a time, together.

    Attributes:
        put_count: Items so far.
        done: How many of them are dealt with.
    """

    def __init__(self, gather_s: float, work: Callable[[list[ItemT]], None]) -> None:
        """Start the thread, which does `work`."""
        self._gather_s = gather_s
        self._work = work
        self._waiting: list[ItemT] = []
        self._some = threading.Event()
        self.put_count = self.done = 0
        threading.Thread(target=self._run, daemon=True).start()

    def put(self, item: ItemT) -> int:
        """Have an item dealt with; returns which one it is."""
        self._waiting.append(item)
        self._some.set()
        self.put_count += 1
        return self.put_count

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(self._gather_s)
            self._some.clear()
            # The loop puts more meanwhile.
            batch = self._waiting[:]
            del self._waiting[: len(batch)]
            self._work(batch)
            self.done += len(batch)


Entry = tuple[float, bytes]
"""When a message arrived (monotonic, s), and the message."""


class Journal:
    """Writes and syncs entries in groups.

    Attributes:
        waits_s: How long the oldest message of each group took to be durable.
    """

    def __init__(self, path: Path) -> None:
        """Write to a new file."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.entries: Batches[Entry] = Batches(_GROUP_S, self._sync)
        self.waits_s: list[float] = []

    def _sync(self, group: list[Entry]) -> None:
        os.write(self._descriptor, b"".join(data for _, data in group))
        os.fdatasync(self._descriptor)
        self.waits_s.append(time.monotonic() - group[0][0])


Second = tuple[int, list[bytes]]
"""The number of a call, and what each of its legs sent in a second."""


class Renderer:
    """Has seconds of calls mixed and encoded in a process, and writes the files."""

    def __init__(self, directory: Path, *, wav: bool) -> None:
        """Start the process."""
        self._directory = directory
        self._files: dict[int, int] = {}
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        context.Process(target=_render, args=(other, wav), daemon=True).start()
        self.seconds: Batches[Second] = Batches(_GATHER_S, self._render)

    def _render(self, seconds: list[Second]) -> None:
        self._connection.send_bytes(pickle.dumps(seconds, protocol=5))
        pieces = pickle.loads(self._connection.recv_bytes())
        for (call, _), piece in zip(seconds, pieces, strict=True):
            os.write(self._file(call), piece)

    def _file(self, call: int) -> int:
        if call not in self._files:
            self._files[call] = os.open(self._directory / str(call), os.O_WRONLY | os.O_CREAT, 0o600)
        return self._files[call]


def _render(connection: Connection, wav: bool) -> None:
    from tests.bench.floors import lame

    lames: dict[int, Any] = {}
    while True:
        pieces = []
        for call, legs in pickle.loads(connection.recv_bytes()):
            first, *others = (np.frombuffer(leg, dtype="<i2") for leg in legs)
            mixed = first.astype(np.int32)
            for other in others:
                mixed += other
            pcm = np.clip(mixed, _INT16.min, _INT16.max).astype(np.int16)
            if not wav and call not in lames:
                lames[call] = lame(channels=1, bitrate_kbps=32)
            pieces.append(pcm.tobytes() if wav else bytes(lames[call].encode(pcm)))
        connection.send_bytes(pickle.dumps(pieces, protocol=5))


class Stream:
    """One call: what came of its second, and how far it is written down.

    Attributes:
        received: Messages.
        taken: How many of them went through a round.
    """

    def __init__(self, number: int, journal: Journal, renderer: Renderer) -> None:
        """Begin empty."""
        self._number = number
        self._journal = journal
        self._renderer = renderer
        self._legs: dict[str, list[bytes]] = {}
        self._size_bytes = 0
        self._pending: deque[tuple[int, int]] = deque()
        self._rendered = 0
        self.received = self.taken = 0

    @property
    def over(self) -> bool:
        """Whether everything that came is durable, told and in the file."""
        return self.taken == self.received and not self._pending and self._renderer.seconds.done >= self._rendered

    def take(self, arrived_s: float, data: bytes) -> None:
        """Write a message down, take its chunks, and have a full second rendered."""
        request = recorder_service_pb2.RecordCallRequest.FromString(data)
        self._pending.append((self._journal.entries.put((arrived_s, data)), request.sequence))
        self.taken += 1
        for chunk in request.audio.chunks:
            payload = chunk.payload
            self._legs.setdefault(chunk.leg_id, []).append(payload)
            self._size_bytes += len(payload)
        if self._legs and self._size_bytes >= 2 * _BLOCK_FRAMES * len(self._legs):
            self._rendered = self._renderer.seconds.put((self._number, [b"".join(leg) for leg in self._legs.values()]))
            self._legs, self._size_bytes = {}, 0

    def ack(self) -> bytes | None:
        """Return what there is to acknowledge."""
        durable = None
        while self._pending and self._pending[0][0] <= self._journal.entries.done:
            durable = self._pending.popleft()[1]
        if durable is None:
            return None
        ack = media_pb2.Ack(sequence=durable)
        return recorder_service_pb2.RecordCallResponse(ack=ack).SerializeToString()


class LeastRecorder:
    """Serves streams.

    Attributes:
        journal: What came.
    """

    def __init__(self, directory: Path, *, wav: bool) -> None:
        """Keep everything in a directory."""
        self.journal = Journal(directory / "journal")
        self._renderers = [Renderer(directory, wav=wav) for _ in range(_RENDER_PROCESSES)]
        self._numbers = itertools.count()
        self._inbox: list[tuple[Stream, float, bytes]] = []

    async def record(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """Take a stream's messages, in rounds, and acknowledge them."""
        number = next(self._numbers)
        stream = Stream(number, self.journal, self._renderers[number % _RENDER_PROCESSES])
        telling = asyncio.create_task(self._tell(stream, context, _ACK_INTERVAL_S))
        async for data in requests:
            if not self._inbox:
                asyncio.get_running_loop().call_later(_ROUND_S, self._round)
            self._inbox.append((stream, time.monotonic(), data))
            stream.received += 1
        telling.cancel()
        while not stream.over:
            await self._tell(stream, context, _ROUND_S, times=1)

    def _round(self) -> None:
        inbox, self._inbox = self._inbox, []
        for stream, arrived_s, data in inbox:
            stream.take(arrived_s, data)

    async def _tell(self, stream: Stream, context: Any, interval_s: float, times: int | None = None) -> None:
        for _ in itertools.repeat(None) if times is None else range(times):
            await asyncio.sleep(interval_s)
            if ack := stream.ack():
                await context.write(ack)


def main(waits: Path, *, wav: bool) -> None:
    """Serve until SIGTERM."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        recorder = LeastRecorder(Path(directory), wav=wav)
        run(recorder.record, tuned=True)
    waits.write_text(json.dumps(recorder.journal.waits_s))


if __name__ == "__main__":
    main(Path(sys.argv[1]), wav="--wav" in sys.argv)

"""What was written but is not yet known to be durable."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from recorder.v1.media_pb2 import Audio


class Numbered(Protocol):
    """A request of a stream."""

    sequence: int

    @property
    def audio(self) -> Audio:
        """Its chunks; empty in other requests."""

    def ByteSize(self) -> int:  # noqa: N802 - the name of generated messages
        """Size on the wire."""


RequestT = TypeVar("RequestT", bound=Numbered)


class Backlog(Generic[RequestT]):
    """Numbers requests and keeps each until it is acknowledged, so that it can be sent again.

    The size is bounded softly: `room` waits while it is exceeded, and a request that has been let in is always taken.
    """

    def __init__(self, max_bytes: int, *, on_acknowledged: Callable[[RequestT], None] = lambda _: None) -> None:
        """Begin after the opening request, which has number 1.

        Args:
            max_bytes: What may wait for acknowledgement.
            on_acknowledged: Is given every request that became durable, in order.
        """
        self._max_bytes = max_bytes
        self._on_acknowledged = on_acknowledged
        self._size_bytes = 0
        # Insertion order is sequence order.
        self._requests: dict[int, RequestT] = {}
        self._first_sequence = 2
        self._next_sequence = 2
        self._closed = False
        self._added = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def first_sequence(self) -> int:
        """The lowest number that is not acknowledged."""
        return self._first_sequence

    @property
    def next_sequence(self) -> int:
        """The number that the next request will have."""
        return self._next_sequence

    def add(self, request: RequestT) -> None:
        """Number a request and keep it; once closed, drop it."""
        if self._closed:
            return
        request.sequence = self._next_sequence
        self._requests[self._next_sequence] = request
        self._next_sequence += 1
        self._size_bytes += request.ByteSize()
        self._settle()
        self._added.set()

    def acknowledge(self, sequence: int) -> None:
        """Drop everything up to and including `sequence`."""
        while self._first_sequence <= min(sequence, self._next_sequence - 1):
            request = self._requests.pop(self._first_sequence)
            self._size_bytes -= request.ByteSize()
            self._first_sequence += 1
            self._on_acknowledged(request)
        self._settle()

    def waiting(self) -> Iterator[RequestT]:
        """Give what is not acknowledged, in order."""
        return iter(self._requests.values())

    def renumber(self) -> None:
        """Begin again after an opening request: what is kept goes to a stream that knows nothing of it."""
        self._first_sequence = 2
        self._requests = dict(enumerate(self._requests.values(), self._first_sequence))
        for sequence, request in self._requests.items():
            request.sequence = sequence
        self._next_sequence = self._first_sequence + len(self._requests)

    def close(self) -> None:
        """Drop everything and take nothing more: the recording has ended."""
        self._closed = True
        self._requests.clear()
        self._first_sequence = self._next_sequence
        self._size_bytes = 0
        self._settle()

    async def get(self, sequence: int) -> RequestT:
        """Give a request that is not acknowledged, waiting until it is there. For one sender at a time."""
        while sequence not in self._requests:
            self._added.clear()
            await self._added.wait()
        return self._requests[sequence]

    async def room(self) -> None:
        """Wait until less than the limit is kept."""
        await self._room.wait()

    async def acknowledged(self) -> None:
        """Wait until nothing is kept."""
        await self._empty.wait()

    def _settle(self) -> None:
        _set(self._room, on=self._closed or self._size_bytes < self._max_bytes)
        _set(self._empty, on=not self._requests)


def _set(event: asyncio.Event, *, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()

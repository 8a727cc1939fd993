"""Payloads at their places in a block, and what can be said of them without knowing a sample."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from recorder_service.audio.formats import LegFormat, Payload


class PlacedChunk(NamedTuple):
    """A payload at its place in a block; a tuple, because one is made for every message.

    Attributes:
        offset: First frame, in leg frames from the start of the block.
        payload: Whole frames in the leg's encoding; chunks of one block never overlap.
    """

    offset: int
    payload: Payload


offset_of = itemgetter(0)
payload_of = itemgetter(1)


def size_bytes(chunks: Iterable[PlacedChunk]) -> int:
    """Add up the sizes of payloads."""
    return sum(map(len, map(payload_of, chunks)))


def fill(chunks: Sequence[PlacedChunk], leg_format: LegFormat, frames: int) -> bool:
    """Say whether chunks fill a block of so many leg frames: they do when they are as long, as none overlap."""
    return size_bytes(chunks) == frames * leg_format.bytes_per_frame


def runs(chunks: Sequence[PlacedChunk], bytes_per_frame: int) -> list[tuple[int, list[Payload]]]:
    """Group chunks of a block that follow each other without a gap: where each group begins, and its payloads."""
    runs: list[tuple[int, list[Payload]]] = []
    next_offset = -1
    for offset, payload in chunks:
        if offset == next_offset:
            runs[-1][1].append(payload)
        else:
            runs.append((offset, [payload]))
        next_offset = offset + len(payload) // bytes_per_frame
    return runs

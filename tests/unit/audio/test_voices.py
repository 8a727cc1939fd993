"""What is kept of a leg between two blocks."""

import weakref

import numpy as np

from recorder_service.audio.voices import PieceQueue


def test_piece_is_given_in_stretches_without_loss() -> None:
    """Where stretches end does not matter."""
    pcm = np.arange(1000, dtype=np.int16)
    queue = PieceQueue()
    queue.add(0, pcm)
    taken = [queue.take(start, start + 300) for start in range(0, 900, 300)] + [queue.take(900, 1000)]
    assert np.array_equal(np.concatenate([stretch for stretch in taken if stretch is not None]), pcm)
    assert not queue


def test_what_is_left_of_a_piece_does_not_keep_all_of_it() -> None:
    """A second of audio is 32 KB, what waits of it for the next one 1 KB: a thousand legs would hold 31 MB more."""
    pcm = np.zeros(16_000, dtype=np.int16)
    seen = weakref.ref(pcm)
    queue = PieceQueue()
    queue.add(0, pcm)
    queue.take(0, 15_520)
    del pcm
    assert seen() is None
    left = queue.take(15_520, 16_000)
    assert left is not None
    assert len(left) == 480

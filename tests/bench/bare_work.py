"""LAME and fdatasync alone, in real time: what a server has to do beside receiving, without the server.

`python -m tests.bench.bare_work CALLS GROUPS_PER_S BYTES_PER_S` encodes a second of every call each second, evenly
spread, and syncs so many groups; it says `ready` and goes on until SIGTERM.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.bench import floors
from tests.bench.audio import VARIANTS, mixed_blocks

_SECONDS = 10
_THREADS = 2


def main(calls: int, groups_per_s: float, bytes_per_s: float) -> None:
    """Work until SIGTERM."""
    blocks = [
        [np.ascontiguousarray(block.T, dtype="<i2") for block in mixed_blocks(variant, _SECONDS, split=False)]
        for variant in range(VARIANTS)
    ]
    lames = [floors.lame(channels=1, bitrate_kbps=32) for _ in range(calls)]

    def encode(thread: int) -> Callable[[int], None]:
        mine = range(thread, calls, _THREADS)

        def work(turn: int) -> None:
            call, second = mine[turn % len(mine)], turn // len(mine)
            lames[call].encode(blocks[call % VARIANTS][second % _SECONDS])

        return work

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for thread in range(_THREADS):
        threading.Thread(target=_paced, args=(calls / _THREADS, encode(thread)), daemon=True).start()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        floors.groups(groups_per_s, bytes_per_s, Path(directory)) as sync,
    ):
        _paced(groups_per_s, sync)


def _paced(per_s: float, work: Callable[[int], None]) -> None:
    """Do something so many times a second."""
    began_s, turn = time.monotonic(), 0
    while True:
        time.sleep(max(0.0, began_s + turn / per_s - time.monotonic()))
        work(turn)
        turn += 1


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))

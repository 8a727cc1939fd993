"""A process that appends at full speed and prints what is durable; `test_journal_kill` kills it.

Prints `start LSN INDEX…` once (the next LSN, and each recording's next running number) and then `durable LSN`.
Entry number i of a run belongs to recording i modulo the number of recordings.
"""

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from uuid import UUID

from recorder_service.journal import Journal, JournalSettings

RECORDINGS = [UUID(int=number + 1) for number in range(50)]
_AHEAD_BYTES = 4 * 1024 * 1024


def payload_of(recording: UUID, index: int) -> bytes:
    """What entry `index` of a recording must hold."""
    seed = hashlib.sha256(f"{recording}:{index}".encode()).digest()
    return seed * (1 + seed[0] % 20)


def say(*words: object) -> None:
    """Print at once: what is only in this process's buffer dies with it."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def main(directory: Path) -> None:
    """Append until killed."""
    settings = JournalSettings(segment_bytes=512 * 1024, commit_interval_s=0.002, reserve_bytes=0)
    journal = await asyncio.to_thread(Journal.open, directory, settings=settings)
    facts = journal.recovered.recordings
    indexes = [facts[recording].next_index if recording in facts else 0 for recording in RECORDINGS]
    say("start", journal.recovered.next_lsn, *indexes)
    journal.start(asyncio.get_running_loop(), on_durable=lambda lsn: say("durable", lsn))
    while True:
        if journal.queued_bytes < _AHEAD_BYTES:
            for number, recording in enumerate(RECORDINGS):
                journal.append(recording, 1, payload_of(recording, indexes[number]))
                indexes[number] += 1
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

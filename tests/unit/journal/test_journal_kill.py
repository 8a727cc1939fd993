"""What is reported durable survives SIGKILL; the ledger is kept outside the killed process."""

import random
import subprocess
import sys
import time
from pathlib import Path

from tests.unit.journal.appender import RECORDINGS, payload_of
from tests.unit.journal.building import read_all

_KILLS = 10
_FLOOR = 500


class Ledger:
    """How many entries of each recording were reported durable, as the reader of the process's output knows it."""

    def __init__(self) -> None:
        self.counts = [0] * len(RECORDINGS)

    def note(self, output: str) -> int:
        """Read one run's output; return how many entries it reported durable."""
        lines = [line.split() for line in output.splitlines() if line]
        begin = [int(word) for word in lines[0][1:]]
        assert all(start >= count for start, count in zip(begin[1:], self.counts, strict=True))
        durable = max((int(line[1]) for line in lines[1:]), default=begin[0] - 1) - begin[0] + 1
        for number, start in enumerate(begin[1:]):
            self.counts[number] = start + (durable + len(RECORDINGS) - 1 - number) // len(RECORDINGS)
        return durable


def run_and_kill(directory: Path, after_s: float) -> str:
    """Start the appender, kill it some time after its first report, and return what it printed."""
    command = [sys.executable, "-m", "tests.unit.journal.appender", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        head = process.stdout.readline() + process.stdout.readline()
        # Its output must be read meanwhile, or the pipe fills and the process stands still.
        until = time.monotonic() + after_s
        lines = [head]
        while time.monotonic() < until:
            lines.append(process.stdout.readline())
        process.kill()
        lines.append(process.stdout.read())
    return "".join(lines)


def test_everything_reported_durable_survives_ten_kills(tmp_path: Path) -> None:
    """Kill at random moments, in one directory, and compare every entry after each kill."""
    directory = tmp_path / "j"
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    ledger = Ledger()
    for _ in range(_KILLS):
        assert ledger.note(run_and_kill(directory, chance.uniform(0.05, 0.25))) >= _FLOOR
        report, entries, holes = read_all(directory, RECORDINGS)
        assert (report.damage, holes) == ((), [])
        for recording, count in zip(RECORDINGS, ledger.counts, strict=True):
            read = entries[recording]
            assert len(read) >= count
            assert read == [(index, payload_of(recording, index)) for index in range(len(read))]

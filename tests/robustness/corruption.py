"""Damage to a journal: every byte flipped, zeroed, or the last one of its file. It is found, and costs what it hit."""

import asyncio
import contextlib
import random
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from tests.robustness import damaged_server
from tests.robustness.planted import replace
from tests.robustness.report import Result, Scenario

from recorder_service.journal import Entry, Hole, Journal, JournalSettings
from recorder_service.journal.groups import PREAMBLE_BYTES, Group
from recorder_service.journal.reader import SegmentReader
from recorder_service.journal.segments import segment_path

GOAL = "every damage found, 0 crashes or hangs, all entries outside the damaged group intact"
_SLOW_S = 5.0
# More than any journal here holds: with a planted bug a hole may have any length.
_MOST_ENTRIES = 1000
_SETTINGS = JournalSettings(commit_interval_s=0.0, segment_bytes=4096, reserve_bytes=0)
_DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "flip": lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
    "zero": lambda data, at: data[:at] + b"\0" + data[at + 1 :],
    "truncate": lambda data, at: data[:at],
    "sector": lambda data, at: data[:at] + bytes(len(data[at : at + 512])) + data[at + 512 :],
}

Key = tuple[uuid.UUID, int]


@dataclass(frozen=True, slots=True)
class Sound:
    """A journal as it was before it was damaged.

    Attributes:
        files: Content by name.
        entries: Kind and payload of every entry.
        places: Segment name, begin and end of the group that holds each entry.
        ends: Where the groups of each segment end.
        newest: Name of the newest segment.
        orderly: It was closed in order, so that the end of the newest segment is known.
    """

    files: dict[str, bytes]
    entries: dict[Key, tuple[int, bytes]]
    places: dict[Key, tuple[str, int, int]]
    ends: dict[str, frozenset[int]]
    newest: str
    orderly: bool


@dataclass(slots=True)
class Tally:
    """What was found."""

    damages: int = 0
    found: int = 0
    untellable: int = 0
    slowest_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def fault(self, kind: str, example: str) -> None:
        """Note a fault."""
        self.faults[kind] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{kind}: {example}")


def run(seed: int, quick: bool) -> Result:
    """Damage every byte (quick: some hundred), then fuzz."""
    return explore(seed, 200 if quick else None, 100 if quick else 5_000)


def explore(seed: int, sample: int | None, fuzzed: int) -> Result:
    """Damage journals: `sample` times each, or every byte of them; then rewrite them at will, `fuzzed` times."""
    dice = random.Random(seed)
    tally = Tally()
    for orderly in (False, True):
        sound = asyncio.run(_build(dice, orderly=orderly))
        cases = [
            (name, at, damage)
            for name, data in sound.files.items()
            for damage in _DAMAGES
            for at in range(0, len(data), 512 if damage == "sector" else 1)
        ]
        if sample is not None:
            # Every byte of the small file that vouches for the newest segment's end is tried in any case.
            cases = dice.sample(cases, sample) + [case for case in cases if case[0] == "epoch"]
        for name, at, damage in cases:
            data = sound.files[name]
            if (damaged := _DAMAGES[damage](data, at)) != data:
                _check(sound, {name: damaged}, (name, at, damage), tally)
        if fuzzed:
            _fuzz(sound, seed, fuzzed // 2, tally)
    bad = sum(tally.faults.values())
    figure = (
        f"{tally.damages:,} damages, {tally.found:,} found, {tally.untellable} at a group's border after a crash, "
        f"{fuzzed:,} fuzzed, slowest {tally.slowest_s * 1000:.0f} ms: {bad} faults"
    )
    details = {"faults": dict(tally.faults), "examples": tally.examples, "seed": seed}
    return Result("corruption", figure, GOAL, not bad and tally.damages > 100, details)


def unchecked_groups() -> None:
    """Planted bug: a group's check is not compared."""
    import zlib

    from recorder_service.journal import groups, reader

    def unchecked(header: bytes, body: bytes) -> Group | None:
        head = header[: groups._HEADER.size]
        return groups.decode_group(head + groups._CRC.pack(zlib.crc32(body, zlib.crc32(head))), body)

    replace(reader, "decode_group", unchecked)


def cut_at_first_damage() -> None:
    """Planted bug: everything after the first bad group is given up."""
    replace(SegmentReader, "_search", lambda self, start: self._limit)


SCENARIOS = (
    Scenario("corruption", GOAL, run, bugs=(f"{__name__}:unchecked_groups", f"{__name__}:cut_at_first_damage")),
    *damaged_server.SCENARIOS,
)


async def _build(dice: random.Random, *, orderly: bool) -> Sound:
    """Write a journal of three recordings in three segments, with groups of one to three entries."""
    recordings = [uuid.UUID(int=dice.getrandbits(128)) for _ in range(3)]
    with tempfile.TemporaryDirectory(prefix="corruption-") as name:
        directory = Path(name) / "journal"
        journal = await asyncio.to_thread(Journal.open, directory, settings=_SETTINGS)
        journal.start(asyncio.get_running_loop())
        for number in range(20):
            lsn = 0
            for _ in range(dice.randint(1, 3)):
                lsn = journal.append(dice.choice(recordings), 1 + number % 7, dice.randbytes(dice.randint(0, 100)))
            await journal.wait_durable(lsn, 10)
        crashed = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}
        await journal.close()
        closed = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}
        return _survey(directory, closed if orderly else crashed, orderly=orderly)


def _survey(directory: Path, files: dict[str, bytes], *, orderly: bool) -> Sound:
    entries: dict[Key, tuple[int, bytes]] = {}
    places: dict[Key, tuple[str, int, int]] = {}
    ends: dict[str, frozenset[int]] = {}
    segments = sorted(name for name in files if name.endswith(".journal"))
    for name in segments:
        borders = {PREAMBLE_BYTES}
        number = int(name.removesuffix(".journal"))
        with SegmentReader(segment_path(directory, number), number, len(files[name])) as reader:
            for group in reader.groups():
                assert isinstance(group, Group)
                borders.add(group.end)
                for raw, index, kind, payload in () if group.checkpoint else group.entries():
                    key = uuid.UUID(bytes=raw), index
                    entries[key] = kind, payload
                    places[key] = name, group.place.offset, group.end
        ends[name] = frozenset(borders)
    return Sound(files, entries, places, ends, segments[-1], orderly)


@contextlib.contextmanager
def _laid_out(sound: Sound, changed: dict[str, bytes]) -> Iterator[Path]:
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="corruption-", dir=memory if memory.is_dir() else None))
    try:
        for name, data in (sound.files | changed).items():
            (directory / name).write_bytes(data)
        yield directory
    finally:
        shutil.rmtree(directory)


def _check(sound: Sound, changed: dict[str, bytes], case: tuple[str, int, str], tally: Tally) -> None:
    """Open a journal with one damage and compare what is read with what was written."""
    name, at, damage = case
    tally.damages += 1
    with _laid_out(sound, changed) as directory:
        read = _read(directory, str(case), tally)
    if read is None:
        return
    journal, there, holes = read
    lost = _hit(sound, name, at, damage)
    for key, (kind, payload) in sound.entries.items():
        if key in there and there[key] != (kind, payload):
            tally.fault("changed", f"{case}: {key}")
        elif key not in there and key not in lost:
            tally.fault("lost", f"{case}: {key} of {sound.places[key]}")
        elif key not in there and not (
            _told(key, there, holes, torn=bool(journal.recovered.torn_bytes)) or _untellable(sound, name, at, damage)
        ):
            tally.fault("hole not told", f"{case}: {key}")
    if journal.recovered.damage or journal.recovered.torn_bytes:
        tally.found += 1
    elif name == "epoch" or _untellable(sound, name, at, damage):
        # The epoch only vouches: without it nothing is lost, and there is nothing to tell.
        tally.untellable += name != "epoch"
        tally.found += name == "epoch"
    else:
        tally.fault("not found", str(case))


def _told(key: Key, there: Container[Key], holes: set[Key], *, torn: bool) -> bool:
    """Say whether a lost entry is told: by a hole, or by one that begins a tail of unknown length, or as torn."""
    recording, index = key
    while index > 0 and (recording, index - 1) not in there and (recording, index) not in holes:
        index -= 1
    return (recording, index) in holes or torn


def _hit(sound: Sound, name: str, at: int, damage: str) -> set[Key]:
    """Return the entries that the damage may take."""
    if damage == "truncate":
        return {key for key, (segment, _, end) in sound.places.items() if segment == name and end > at}
    last = at + 511 if damage == "sector" else at
    return {
        key for key, (segment, begin, end) in sound.places.items() if segment == name and begin <= last and end > at
    }


def _untellable(sound: Sound, name: str, at: int, damage: str) -> bool:
    """Say whether it is the one loss that docs/journal-format.md says nothing vouches for."""
    return damage == "truncate" and name == sound.newest and not sound.orderly and at in sound.ends[name]


def _read(directory: Path, case: str, tally: Tally) -> tuple[Journal, dict[Key, tuple[int, bytes]], set[Key]] | None:
    began = time.monotonic()
    there: dict[Key, tuple[int, bytes]] = {}
    holes: set[Key] = set()
    try:
        journal = Journal.open(directory, settings=_SETTINGS)
        try:
            for item in journal.replay(*journal.recordings()):
                if isinstance(item, Hole):
                    holes |= {(item.recording, item.index + n) for n in range(min(item.missing_count, _MOST_ENTRIES))}
                elif isinstance(item, Entry):
                    there[item.recording, item.index] = item.kind, item.payload
        finally:
            journal._shelf.close()
            journal._lock.release()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
        tally.fault("crash", f"{case}: {error!r}")
        return None
    elapsed_s = time.monotonic() - began
    tally.slowest_s = max(tally.slowest_s, elapsed_s)
    if elapsed_s > _SLOW_S:
        tally.fault("slow", f"{case}: {elapsed_s:.1f} s")
    return journal, there, holes


def _fuzz(sound: Sound, seed: int, examples: int, tally: Tally) -> None:
    """Rewrite journals at will: whatever is read was written, and reading ends without an error."""
    segments = sorted(name for name in sound.files if name.endswith(".journal"))
    edit = st.tuples(
        st.sampled_from(segments),
        st.integers(0, 8192),
        st.sampled_from(["replace", "insert", "delete", "copy", "magic"]),
        st.binary(max_size=64),
        st.integers(0, 8192),
    )

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(st.lists(edit, min_size=1, max_size=6))
    def rewritten(edits: list[tuple[str, int, str, bytes, int]]) -> None:
        changed = {name: sound.files[name] for name in segments}
        for name, at, how, data, other in edits:
            changed[name] = _rewrite(changed[name], at, how, data, other)
        with _laid_out(sound, changed) as directory:
            read = _read(directory, repr(edits), tally)
        for key, value in read[1].items() if read else ():
            if sound.entries.get(key) != value:
                tally.fault("made up", f"{edits}: {key}")

    rewritten()


def _rewrite(data: bytes, at: int, how: str, piece: bytes, other: int) -> bytes:
    at = min(at, len(data))
    match how:
        case "replace":
            return data[:at] + piece + data[at + len(piece) :]
        case "insert":
            return data[:at] + piece + data[at:]
        case "delete":
            return data[:at] + data[at + other % 256 :]
        case "copy":
            return data[:at] + data[other : other + 300] + data[at + 300 :]
        case _:
            return data[:at] + b"\x93RECJGRP" + piece + data[at:]

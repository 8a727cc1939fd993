"""Power loss at any moment: a server is traced, the disk states it may leave are rebuilt, each is recovered.

The catalog is SQLite's affair (WAL, synchronous=FULL, its own crash tests): its files are left as they were written.
Everything else of the data directory loses what was not synced: journal, spool, files, admin token.
"""

import asyncio
import contextlib
import hashlib
import random
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.client import Call, Client, Request
from tests.harness.server import Server
from tests.robustness import syscall_trace, traced_server
from tests.robustness.power_loss import Disk, Found, Unsynced
from tests.robustness.report import Result, Scenario
from tests.robustness.traced_server import LEGS, SETTINGS, Traced, trace

from recorder.v1 import media_pb2, recording_pb2
from recorder_service.journal import Entry, Journal
from recorder_service.sessions import entries

GOAL = "0 acknowledged requests lost or changed, 0 false alarms, every state opens; 10,000 states (quick: 150)"
_TRACED = f"{traced_server.__name__}:promising"
_MOST_ROUNDS = 200
_ORDERLY: tuple[tuple[Unsynced, Unsynced], ...] = (
    ("lost", "lost"),
    ("lost", "kept"),
    ("kept", "lost"),
    ("kept", "kept"),
)
_RANDOM: tuple[tuple[Unsynced, Unsynced], ...] = (
    ("torn", "kept"),
    ("torn", "torn"),
    ("begun", "torn"),
    ("begun", "begun"),
    ("torn", "lost"),
    ("begun", "kept"),
)


@dataclass(slots=True)
class Tally:
    """What came of the states."""

    states: int = 0
    checked: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def fault(self, kind: str, example: str) -> None:
        """Note a fault."""
        self.faults[kind] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{kind}: {example}")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: disk states, how many of them get a whole server, messages of the longest call."""

    states: int
    served: int
    messages: int


async def run(seed: int, quick: bool) -> Result:
    """Trace, rebuild, recover."""
    return await explore(seed, Effort(150, 2, 40) if quick else Effort(10_000, 40, 150))


async def explore(seed: int, effort: Effort, plant: str = _TRACED) -> Result:
    """Trace a server that `plant` has prepared, rebuild the states of its disk, recover them."""
    dice = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="crash-states-") as name:
        traced = Traced(Path(name))
        await trace(traced, plant, dice, effort.messages)
        worlds = await asyncio.to_thread(_recover_states, traced, effort, dice, tally)
        for world in worlds:
            await _serve(traced, world, tally)
    bad = sum(tally.faults.values())
    figure = (
        f"{tally.states:,} crash states, {len(worlds)} of them served, {tally.checked:,} acknowledged requests looked "
        f"for: {bad} faults"
    )
    ok = not bad and tally.states >= effort.states and tally.checked > effort.states
    details = {"faults": dict(tally.faults), "examples": tally.examples, "seed": seed}
    return Result("crash_states", figure, GOAL, ok, details)


SCENARIOS = (
    Scenario(
        "crash_states",
        GOAL,
        run,
        bugs=(f"{traced_server.__name__}:no_directory_sync", f"{traced_server.__name__}:acknowledged_before_sync"),
    ),
)


@dataclass(frozen=True, slots=True)
class World:
    """A state of the disk, and what had been promised by then: the last acknowledged sequence of each recording."""

    found: Found
    promised: dict[uuid.UUID, int]
    name: str


def _recover_states(traced: Traced, effort: Effort, dice: random.Random, tally: Tally) -> list[World]:
    """Recover as many states as are wanted; return some of them, drawn by lot, for a whole server."""
    chosen: list[World] = []
    seen: set[bytes] = set()
    moments: list[syscall_trace.Moment] = []
    for path in traced.traces:
        moments += syscall_trace.moments(path, first=moments[-1].number + 1 if moments else 0)
    # The orderly losses at every moment first, then one thrown with dice at each, again and again.
    for round_number in range(_MOST_ROUNDS):
        for world in _worlds(traced, moments, dice, orderly=round_number == 0):
            if (digest := _digest(world)) in seen:
                continue
            seen.add(digest)
            tally.states += 1
            _recover(traced, world, tally)
            if len(chosen) < effort.served:
                chosen.append(world)
            elif (place := dice.randrange(tally.states)) < effort.served:
                chosen[place] = world
        if tally.states >= effort.states:
            break
    return chosen


def _worlds(
    traced: Traced, moments: Sequence[syscall_trace.Moment], dice: random.Random, *, orderly: bool
) -> Iterator[World]:
    """Walk the trace, and lose power wherever the disk changes."""
    disk = Disk(str(traced.data_dir), _spared)
    promised: dict[uuid.UUID, int] = {}
    for moment in moments:
        if moment.call.path == str(traced.promises):
            _promise(promised, moment)
        elif disk.see(moment) and "/catalog.db" not in moment.call.path and promised:
            for data, names in _ORDERLY if orderly else (dice.choice(_RANDOM),):
                found = disk.loses_power(data, names, dice)
                yield World(found, dict(promised), f"moment {moment.number} {data}/{names}")


def _spared(path: str) -> bool:
    """Say what is left as it was written: the catalog, whose own rules SQLite keeps."""
    return "/catalog.db" in path


def _promise(promised: dict[uuid.UUID, int], moment: syscall_trace.Moment) -> None:
    if moment.call.name == "write" and not moment.ended:
        name, sequence = moment.call.strings[0].decode().split()
        promised[uuid.UUID(name)] = int(sequence)


def _digest(world: World) -> bytes:
    digest = hashlib.blake2b(repr(sorted(world.promised.items())).encode())
    for path, content in sorted(world.found.files.items()):
        if not path.startswith("catalog.db"):
            digest.update(path.encode() + b"\0" + content + b"\0")
    return digest.digest()


def _recover(traced: Traced, world: World, tally: Tally) -> None:
    """Open the journal twice, as a start that is followed by another crash does."""
    with _directory(world.found, lambda path: path.startswith("journal/")) as directory:
        for attempt in ("first", "second"):
            try:
                journal = Journal.open(directory / "journal", settings=SETTINGS)
                try:
                    _compare(traced, world, journal, tally)
                finally:
                    journal._shelf.close()
                    journal._lock.release()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
                tally.fault(f"{attempt} open", f"{world.name}: {error!r}")
                return


@contextlib.contextmanager
def _directory(found: Found, wanted: Callable[[str], bool]) -> Iterator[Path]:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="crash-state-") as name:
        _lay_out(found, Path(name), wanted)
        yield Path(name)


def _lay_out(found: Found, directory: Path, wanted: Callable[[str], bool]) -> None:
    for path in sorted(found.directories):
        (directory / path).mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content in found.files.items():
        if wanted(path):
            (directory / path).write_bytes(content)
            (directory / path).chmod(0o600)


def _compare(traced: Traced, world: World, journal: Journal, tally: Tally) -> None:
    if journal.recovered.damage:
        tally.fault("false alarm", f"{world.name}: {journal.recovered.damage}")
    held = set(journal.recordings())
    there: dict[uuid.UUID, dict[int, entries.Entry]] = {name: {} for name in held}
    for item in journal.replay(*held):
        if isinstance(item, Entry):
            entry = entries.decode(item.kind, item.payload)
            there[item.recording][entry.sequence] = entry
        else:
            tally.fault("hole", f"{world.name}: {item}")
    kept = {hashlib.sha256(data).hexdigest() for path, data in world.found.files.items() if path.startswith("files/")}
    for name, sequence in world.promised.items():
        if name not in held and traced.stored.get(name) in kept:
            continue
        tally.checked += sequence
        for fault in _broken(traced.ledgers[name].sent, there.get(name, {}), sequence):
            tally.fault("lost", f"{world.name}: {name} {fault}")
            break


def _broken(sent: dict[int, Request], there: dict[int, entries.Entry], promised: int) -> Iterator[str]:
    """Say which acknowledged requests are not there, or not as they were sent."""
    for sequence in range(1, promised + 1):
        entry = there.get(sequence)
        request = sent[sequence]
        if entry is None:
            yield f"request {sequence} of {promised} is missing"
        elif request.HasField("audio") and _kept(entry) != _meant(request.audio):
            yield f"request {sequence} of {promised} is another: {entry!r:.100}"


def _kept(entry: entries.Entry) -> list[tuple[str, int, bytes]]:
    if not isinstance(entry, entries.Audio):
        return []
    return [(LEGS[chunk.leg], chunk.start_frame, bytes(chunk.payload)) for chunk in entry.chunks]


def _meant(audio: media_pb2.Audio) -> list[tuple[str, int, bytes]]:
    return [(chunk.leg_id, chunk.start_frame, chunk.payload) for chunk in audio.chunks]


async def _serve(traced: Traced, world: World, tally: Tally) -> None:
    """Start a whole server on a state: every recording that had something acknowledged goes on, and gets its file."""
    assert traced.tenant is not None
    with tempfile.TemporaryDirectory(prefix="crash-served-") as name:
        data_dir = Path(name) / "data"
        data_dir.mkdir()
        _lay_out(world.found, data_dir, lambda path: not path.endswith("-shm"))
        try:
            with Server(data_dir, arguments=["--resume-window-s", "5"]) as server:
                async with Client(server.ports.grpc) as client:
                    for recording_id, sequence in world.promised.items():
                        await _go_on(client, traced, str(recording_id), sequence)
                server.terminate()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
            tally.fault("served", f"{world.name}: {error!r}")


async def _go_on(client: Client, traced: Traced, recording_id: str, promised: int) -> None:
    tenant = traced.tenant
    assert tenant is not None
    state = (await client.recording(tenant, recording_id)).state
    if state in {recording_pb2.RECORDING_STATE_RECORDING, recording_pb2.RECORDING_STATE_PAUSED}:
        call = Call(client, tenant.metadata)
        with contextlib.suppress(Exception):
            # One whose end is in the journal but not in the catalog cannot be resumed: it gets its file by itself.
            opened = await call.resume(recording_id)
            assert opened.next_sequence > promised, f"{opened.next_sequence} is due, {promised} was acknowledged"
            await call.hang_up()
    recording = await client.ended(tenant, recording_id)
    heard = recording.legs[0].frames
    sent = traced.ledgers[uuid.UUID(recording_id)].sent
    least = 160 * sum(request.HasField("audio") for number, request in sent.items() if number <= promised)
    assert heard >= least, f"{recording_id}: {heard} frames are in the file, {least} were acknowledged"
    if least:
        assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE, recording

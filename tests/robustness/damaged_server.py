"""A server started on a damaged journal: what was lost is silence and told, everything else is as it would be."""

import asyncio
import random
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.harness.client import Client, Tenant, leg
from tests.harness.files import Pcm, download, wav_channels
from tests.harness.server import Server
from tests.robustness.planted import planted, replace
from tests.robustness.report import Result, Scenario

from recorder.v1 import recording_pb2
from recorder_service.journal.groups import Group
from recorder_service.journal.reader import SegmentReader
from recorder_service.journal.segments import segment_numbers, segment_path
from recorder_service.sessions import entries

GOAL = "damaged recordings finish with silence for the hole and tell it, all others are the same to the sample"
_MESSAGE_FRAMES = 320
_WINDOW = ["--resume-window-s", "0.5"]

Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """A group of the sound journal: where it is, and which stretches of which recordings it holds."""

    begin: int
    end: int
    stretches: dict[str, list[Stretch]]


@dataclass(slots=True)
class Tally:
    """What came of it."""

    finished: int = 0
    told: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def fault(self, kind: str, example: str) -> None:
        """Note a fault."""
        self.faults[kind] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{kind}: {example}")


async def run(seed: int, quick: bool) -> Result:
    """Damage two journals, or 30."""
    return await explore(seed, 2 if quick else 30)


async def explore(seed: int, journals: int, plant: str = "") -> Result:
    """Kill a server in three calls, then start it on the journal as it is and on damaged ones."""
    dice = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="damaged-") as name:
        root = Path(name)
        tenant, recordings = await _interrupt(root / "data", dice, messages=40)
        groups = await asyncio.to_thread(_groups, root / "data" / "journal")
        module = planted(plant) if plant else ("recorder_service",)
        sound = await _finish(root / "data", root / "sound", tenant, recordings, module)
        for number in range(journals):
            hit = _choose(groups, dice, number)
            damaged = await asyncio.to_thread(_damage, root / "data", root / f"damaged-{number}", hit, dice)
            try:
                found = await _finish(damaged, None, tenant, recordings, module)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
                tally.fault("not finished", repr(error))
                continue
            for recording_id, (recording, pcm) in found.items():
                _compare(recording, pcm, sound[recording_id][1], _lost(hit, recording_id), tally)
            shutil.rmtree(damaged)
    bad = sum(tally.faults.values())
    figure = (
        f"{journals} damaged journals, {tally.finished} recordings finished, {tally.told} told damage: {bad} faults"
    )
    ok = not bad and tally.finished == 3 * journals and tally.told >= journals
    details = {"faults": dict(tally.faults), "examples": tally.examples, "seed": seed}
    return Result("damaged_server", figure, GOAL, ok, details)


def hole_not_told() -> None:
    """Planted bug: a hole in a recording's entries is passed over."""
    from recorder_service.sessions.live_recording import LiveRecording

    replace(LiveRecording, "restore_hole", lambda self: None)


SCENARIOS = (Scenario("damaged_server", GOAL, run, bugs=(f"{__name__}:hole_not_told",)),)


async def _interrupt(data_dir: Path, dice: random.Random, messages: int) -> tuple[Tenant, list[str]]:
    """Kill a server while three calls run whose audio is acknowledged."""
    with Server(data_dir) as server:
        async with Client(server.ports.grpc) as client:
            tenant = await client.create_tenant(server.admin_token)
            talks = (_talk(client, tenant, dice.randrange(1 << 32), messages) for _ in range(3))
            recordings = await asyncio.gather(*talks)
        server.kill()
    return tenant, recordings


async def _talk(client: Client, tenant: Tenant, seed: int, messages: int) -> str:
    call = await client.call(tenant, legs=[leg()], ncco={"action": "record", "format": "wav"})
    noise = np.random.default_rng(seed)
    for number in range(messages):
        # Never zero, so that silence is seen, and quiet, so that the limiter has nothing to do.
        pcm = noise.integers(1, 2000, _MESSAGE_FRAMES, dtype=np.int16)
        await call.audio(caller=(number * _MESSAGE_FRAMES, pcm.tobytes()))
        await asyncio.sleep(float(noise.uniform(0.005, 0.03)))
    await call.acknowledged(call.sequence - 1)
    return call.recording_id


def _groups(journal: Path) -> list[Taken]:
    (number,) = segment_numbers(journal)
    with SegmentReader(segment_path(journal, number), number) as reader:
        found = [group for group in reader.groups() if isinstance(group, Group) and not group.checkpoint]
    taken = []
    for group in found:
        stretches: dict[str, list[Stretch]] = {}
        for raw, _, kind, payload in group.entries():
            entry = entries.decode(kind, payload)
            chunks = entry.chunks if isinstance(entry, entries.Audio) else ()
            spans = [(chunk.start_frame, chunk.start_frame + len(chunk.payload) // 2) for chunk in chunks]
            stretches.setdefault(str(uuid.UUID(bytes=raw)), []).extend(spans)
        taken.append(Taken(group.place.offset, group.end, stretches))
    return taken


def _choose(groups: list[Taken], dice: random.Random, number: int) -> list[Taken]:
    """Pick one to three groups in a row that hold audio. Nothing vouches for the last one after a crash."""
    sounding = [place for place, group in enumerate(groups[:-4]) if any(group.stretches.values())]
    first = dice.choice(sounding)
    return groups[first : first + 1 + number % 3]


def _damage(source: Path, target: Path, hit: list[Taken], dice: random.Random) -> Path:
    shutil.copytree(source, target)
    path = next((target / "journal").glob("*.journal"))
    data = bytearray(path.read_bytes())
    for group in hit:
        if dice.random() < 0.5:
            data[dice.randrange(group.begin, group.end)] ^= 1 << dice.randrange(8)
        else:
            data[group.begin : group.end] = bytes(group.end - group.begin)
    path.write_bytes(data)
    return target


async def _finish(
    source: Path, copy: Path | None, tenant: Tenant, recordings: Iterable[str], module: tuple[str, ...]
) -> dict[str, tuple[recording_pb2.Recording, Pcm]]:
    """Start a server and wait until it has finished what was interrupted."""
    data_dir = source if copy is None else shutil.copytree(source, copy)
    found = {}
    with Server(data_dir, arguments=_WINDOW, module=module) as server:
        async with Client(server.ports.grpc) as client:
            for recording_id in recordings:
                recording = await client.ended(tenant, recording_id)
                data = await asyncio.to_thread(download, recording, tenant)
                found[recording_id] = recording, wav_channels(data)
    return found


def _lost(hit: list[Taken], recording_id: str) -> list[Stretch]:
    """Join what the damaged groups held of one recording."""
    joined: list[Stretch] = []
    for start, end in sorted(span for group in hit for span in group.stretches.get(recording_id, ())):
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


def _compare(recording: recording_pb2.Recording, pcm: Pcm, sound: Pcm, lost: list[Stretch], tally: Tally) -> None:
    name, frames = recording.recording_id, pcm.shape[1]
    told = [(stretch.start_frame, stretch.end_frame) for stretch in recording.damage]
    if recording.state != recording_pb2.RECORDING_STATE_AVAILABLE:
        tally.fault("state", f"{name} is {recording.state}")
        return
    tally.finished += 1
    tally.told += bool(told)
    # What was lost at the very end is an empty stretch there: how much it was is not known.
    expected = [(start, min(end, frames)) for start, end in lost if start < frames]
    if [stretch for stretch in told if stretch[0] < stretch[1]] != expected or (lost and not told):
        tally.fault("told", f"{name}: {told} for {lost} in {frames} frames")
    wanted = sound[:, :frames].copy()
    for start, end in expected:
        wanted[:, start:end] = 0
    if not np.array_equal(pcm, wanted):
        where = np.flatnonzero((pcm != wanted).any(axis=0))
        tally.fault("audio", f"{name}: {len(where)} frames differ, {where[0]} to {where[-1]}; {lost} was lost")
    if frames != sound.shape[1] and not (lost and lost[-1][1] == sound.shape[1]):
        tally.fault("length", f"{name}: {frames} of {sound.shape[1]} frames")

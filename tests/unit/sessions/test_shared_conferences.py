"""Names of conferences that nodes share, with two nodes' conferences on one real catalog."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from tests.unit.sessions.conference_stage import Stage

from recorder_service.catalog.catalog import Catalog
from recorder_service.domain.node import Role
from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions
from recorder_service.errors import BadInput, Elsewhere, NotFound
from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.conference_values import JoinLeg, JoinStream, RecordPlan
from recorder_service.sessions.shared_conferences import SharedConferences


@dataclass
class Node:
    """One node: its conferences alone, and shared with the other."""

    stage: Stage
    shared: SharedConferences

    async def join(self, leg_id: str = "a", name: str = "room", conversation_id: str = "") -> ConferenceStream:
        """Let a stream in."""
        plan = RecordPlan(RecordOptions(format=FileFormat.WAV), EncoderOptions())
        wanted = JoinStream(uuid4(), name, conversation_id, plan, (JoinLeg(leg_id, "LINEAR16", 16_000),), 0)
        return await self.shared.join(wanted, self.stage.application)

    async def close(self, stream: ConferenceStream) -> None:
        """Let it go, and everything end that ends with it."""
        await stream.close(stream.next_sequence)
        assert await self.stage.background.wait(10)


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that render."""
    with ThreadPoolExecutor(2) as workers:
        yield workers


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    """What the nodes share."""
    opened = await Catalog.open(f"sqlite:///{tmp_path}/catalog.db")
    yield opened
    await opened.aclose()


@pytest.fixture
async def nodes(workers: ThreadPoolExecutor, catalog: Catalog) -> AsyncIterator[list[Node]]:
    """Two of them, with the same application."""
    made: list[Node] = []
    for node_id in ("node-1", "node-2"):
        claim = await catalog.nodes.take(node_id, Role.ALL, node_id, 60, over=None)
        assert claim is not None
        stage = Stage(workers, 1)
        stage.application = made[0].stage.application if made else stage.application
        shared = SharedConferences(
            stage.conferences,
            catalog.conferences,
            claim,
            may_inherit=lambda: True,
            background=stage.background,
            keep_s=60,
        )
        made.append(Node(stage, shared))
    yield made
    for node in made:
        await node.stage.background.close()


async def test_join_and_resume_on_another_node_name_the_owner(nodes: list[Node]) -> None:
    """And so do requests that name the conversation; at the owner they are served."""
    owner, other = nodes
    stream = await owner.join()
    conversation_id = stream.conference.conversation_id
    for asked in (
        other.join("b"),
        other.shared.resume(stream.stream_id, None),
        other.shared.start_recording(conversation_id, None, None),
        other.shared.stop_recording(conversation_id, None),
    ):
        with pytest.raises(Elsewhere) as refused:
            await asked
        assert refused.value.node_id == "node-1"
    assert await owner.shared.resume(stream.stream_id, None) is stream
    assert (await owner.shared.start_recording(conversation_id, None, None)).conversation_id == conversation_id


async def test_what_no_node_has_is_not_found(nodes: list[Node]) -> None:
    """Not elsewhere: nobody is asked to try again."""
    for asked in (
        nodes[0].shared.resume(uuid4(), None),
        nodes[0].shared.start_recording(f"CON-{uuid4()}", None, None),
        nodes[0].shared.stop_recording(f"CON-{uuid4()}", None),
    ):
        with pytest.raises(NotFound):
            await asked


async def test_name_is_free_for_the_other_node_when_the_conference_is_over(nodes: list[Node]) -> None:
    """And back again."""
    for node in nodes * 3:
        await node.close(await node.join())


async def test_join_that_fails_keeps_no_name(nodes: list[Node]) -> None:
    """The other node can begin the conference at once."""
    first, second = nodes
    with pytest.raises(BadInput):
        await first.join(conversation_id=(await first.join(name="other")).conference.conversation_id)
    assert await first.stage.background.wait(10)
    await second.join()


async def test_streams_that_come_and_go_at_once_on_both_nodes_never_make_two_conferences(nodes: list[Node]) -> None:
    """While the last leg leaves the next one joins, over and over: at no time are there two conferences."""
    twice = []

    async def come_and_go(number: int) -> None:
        node = nodes[number % 2]
        for _ in range(20):
            try:
                stream = await node.join(f"leg{number}")
            except Elsewhere:
                await asyncio.sleep(0)
                continue
            twice.append(sum(len(one.stage.conferences) for one in nodes))
            await stream.close(stream.next_sequence)

    await asyncio.gather(*(come_and_go(number) for number in range(6)))
    assert twice
    assert set(twice) <= {0, 1}
    for node in nodes:
        assert await node.stage.background.wait(10)


async def test_other_nodes_conference_under_a_name_that_was_brought_back_ends_the_one_here(
    nodes: list[Node], catalog: Catalog
) -> None:
    """After a start: what goes on elsewhere is ended here as interrupted; whatever else is here keeps its name."""
    here, other = nodes
    lost, kept = await here.join(), await here.join("b", name="kept")
    await catalog.conferences.purge(-120)
    there = await other.join()
    over = asyncio.Event()
    here.stage.conferences.on_over = lambda _application_id, _name: over.set()
    await here.shared.recover()
    here.shared.go_on()
    await asyncio.wait_for(over.wait(), 10)
    assert (lost.over, kept.over, there.over) == (True, False, False)
    with pytest.raises(Elsewhere):
        await other.join("c", name="kept")
    with pytest.raises(Elsewhere):
        await here.join("d")

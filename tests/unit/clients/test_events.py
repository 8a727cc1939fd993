"""The event feed as the client follows it."""

import pytest
from tests.unit.clients.contract_server import ContractServer

from recorder.channel import Client, connect
from recorder.errors import RecorderError
from recorder.v1.event_service_pb2 import SubscribeEventsRequest


async def take(client: Client, request: SubscribeEventsRequest, count: int) -> list[str]:
    seen: list[str] = []
    async for event in client.subscribe(request, reconnect_for_s=5):
        seen.append(event.event_id)
        if len(seen) == count:
            break
    return seen


async def test_feed_goes_on_after_a_lost_line_without_holes_or_repeats(server: ContractServer, client: Client) -> None:
    """Ten events arrive once each though the line breaks after the fourth."""
    server.recorder.behaviour.break_feed_after = 4
    seen = await take(client, SubscribeEventsRequest(from_oldest=True), 10)
    assert seen == [f"event {number}" for number in range(1, 11)]
    assert [request.cursor for request in server.events.requests] == ["", "4"]


async def test_feed_begins_after_the_cursor_given(server: ContractServer, client: Client) -> None:
    """A cursor kept from an earlier time is where the feed begins."""
    assert await take(client, SubscribeEventsRequest(cursor="7"), 3) == ["event 8", "event 9", "event 10"]


async def test_subscribed_is_told_once_and_before_the_first_event(server: ContractServer, client: Client) -> None:
    """The sign that the feed stands comes with the first message and not again after a lost line."""
    server.recorder.behaviour.break_feed_after = 2
    told: list[str] = []
    async for event in client.subscribe(reconnect_for_s=5, on_subscribed=lambda: told.append("subscribed")):
        told.append(event.event_id)
        if len(told) == 5:
            break
    assert told == ["subscribed", "event 1", "event 2", "event 3", "event 4"]


async def test_server_that_is_away_for_too_long_ends_the_feed() -> None:
    """The feed gives up with UNAVAILABLE after the time given."""
    async with connect("127.0.0.1:1") as client:
        with pytest.raises(RecorderError) as failure:
            async for _ in client.subscribe(reconnect_for_s=0.3):
                pass
    assert failure.value.reason == "UNAVAILABLE"

"""The event feed, followed across lost connections."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, TypeAlias

import grpc

from recorder.backoff import Backoff
from recorder.errors import from_rpc_error, unavailable
from recorder.v1.event_pb2 import Event
from recorder.v1.event_service_pb2 import SubscribeEventsRequest, SubscribeEventsResponse

if TYPE_CHECKING:
    Feed: TypeAlias = grpc.aio.UnaryStreamCall[SubscribeEventsRequest, SubscribeEventsResponse]
OpenFeed: TypeAlias = "Callable[[SubscribeEventsRequest], Feed]"


class Subscription:
    """Events in order, without holes and without repeats, for as long as it is iterated.

    Attributes:
        cursor: Place after everything seen so far; empty before the first message. Keep it to go on another time.
    """

    def __init__(
        self,
        request: SubscribeEventsRequest,
        open_feed: OpenFeed,
        *,
        reconnect_for_s: float,
        on_subscribed: Callable[[], None] | None = None,
    ) -> None:
        """Prepare a subscription; it begins when it is iterated. Made by `Client.subscribe`.

        Args:
            request: Where to begin and what to send.
            open_feed: Starts the RPC, with a fresh token, on every try.
            reconnect_for_s: How long to go on trying after the line broke.
            on_subscribed: Is called once the feed stands: what happens from then on will be told.
        """
        self.cursor = request.cursor
        self._request = request
        self._open_feed = open_feed
        self._backoff = Backoff(reconnect_for_s)
        self._on_subscribed = on_subscribed

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Give the events.

        Raises:
            RecorderError: If the subscription was refused, or the server could not be reached for too long.
        """
        while True:
            feed = self._open_feed(self._from_here())
            try:
                async for response in feed:
                    if (event := self._take(response)) is not None:
                        yield event
                lost = unavailable("the server ended the event feed")
            except grpc.aio.AioRpcError as error:
                lost = from_rpc_error(error)
            finally:
                feed.cancel()
            await self._backoff.wait(lost)

    def _from_here(self) -> SubscribeEventsRequest:
        request = SubscribeEventsRequest()
        request.CopyFrom(self._request)
        if self.cursor:
            request.cursor = self.cursor
        return request

    def _take(self, response: SubscribeEventsResponse) -> Event | None:
        self._backoff.succeeded()
        if self._on_subscribed is not None:
            self._on_subscribed()
            self._on_subscribed = None
        if response.HasField("event"):
            self.cursor = response.event.cursor
            return response.event
        self.cursor = response.heartbeat.cursor or self.cursor
        return None

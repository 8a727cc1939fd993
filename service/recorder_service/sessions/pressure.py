"""When the senders of a recording have to wait: what they bring comes faster than it can be dealt with."""

from recorder_service.sessions.feed import Feed
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.render_queue import RenderQueue
from recorder_service.sessions.story import Story

_MAX_UNTOLD_KEYS = 256
# Well below what the journal refuses at: a slow disk slows senders down before it turns them away.
_MAX_QUEUED_BYTES = 16 * 1024 * 1024
_DURABLE_TIMEOUT_S = 30.0


class Pressure:
    """What may be too much for a recording: rendering, the journal, the catalog."""

    def __init__(self, queue: RenderQueue, journal: Journal, story: Story) -> None:
        """Watch these parts."""
        self._queue = queue
        self._journal = journal
        self._facts = story.facts

    @property
    def high(self) -> bool:
        """Whether a sender should wait in `room`."""
        return (
            self._queue.congested
            or self._journal.queued_bytes > _MAX_QUEUED_BYTES
            or self._facts.untold > _MAX_UNTOLD_KEYS
        )

    async def room(self, feed: Feed, frame: int) -> None:
        """Wait until a sender that is faster than real time may go on.

        Args:
            feed: Its stream.
            frame: How far its audio reaches, in recording frames.
        """
        await feed.keep_pace(frame)
        await self._queue.room()
        if self._journal.queued_bytes > _MAX_QUEUED_BYTES:
            await self._journal.wait_durable(feed.acks.last_lsn, _DURABLE_TIMEOUT_S)
        if self._facts.untold > _MAX_UNTOLD_KEYS:
            await self._facts.settled()

"""The node's journal, as live recordings see it."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from recorder_service.audio.formats import Payload


class Journal(Protocol):
    """Keeps entries; the rooms that write to it need no more than this."""

    @property
    def durable_lsn(self) -> int:
        """Everything up to here is durable."""

    @property
    def queued_bytes(self) -> int:
        """Bytes accepted and not yet durable."""

    def append(self, recording: UUID, kind: int, payload: bytes | Sequence[Payload]) -> int:
        """Accept an entry and return its number.

        Raises:
            Overloaded: There is no room now.
            Unavailable: The journal failed.
        """

    async def wait_durable(self, lsn: int, timeout_s: float) -> None:
        """Wait until an entry is durable.

        Raises:
            Overloaded: There is no room.
            Unavailable: The journal failed, or did not answer in time.
        """

    def release(self, recording: UUID) -> int:
        """Forget a recording whose file is stored."""

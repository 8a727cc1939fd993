"""The render processes of a node."""

import asyncio
from collections.abc import Sequence

from recorder_service.audio.plan import Plan
from recorder_service.rendering.process import RemoteRendition, RenderProcess


class RenderProcesses:
    """Spreads recordings over processes."""

    def __init__(self, processes: Sequence[RenderProcess]) -> None:
        """Use these."""
        self._processes = processes

    @classmethod
    async def start(cls, count: int) -> "RenderProcesses":
        """Start so many processes."""
        return cls([await RenderProcess.start() for _ in range(count)])

    @property
    def resident_bytes(self) -> int:
        """Their resident memory, together."""
        return sum(process.resident_bytes for process in self._processes)

    def begin(self, plan: Plan) -> RemoteRendition:
        """Begin a rendition in the process that has the fewest. Blocks.

        Raises:
            Unavailable: INTERNAL, that process has ended.
        """
        return min(self._processes, key=lambda process: process.renditions).begin(plan)

    async def lost(self) -> None:
        """Wait until one has ended by itself."""
        waits = [asyncio.create_task(process.ended()) for process in self._processes]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def close(self) -> None:
        """End them."""
        async with asyncio.TaskGroup() as group:
            for process in self._processes:
                group.create_task(process.close())

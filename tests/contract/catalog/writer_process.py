"""A process that writes recordings until it is killed, and says on its output what was committed.

Arguments: the catalog's URL, the application's id, how many recordings to write at most.
"""

import asyncio
import sys
from uuid import UUID

from tests.contract.catalog.values import NOW, RUNNING, a_delivery, a_recording, completed

from recorder_service.catalog.catalog import Catalog
from recorder_service.domain.event import EventType


async def _write_one(catalog: Catalog, application_id: UUID) -> None:
    recording = a_recording(application_id)
    await catalog.recordings.begin(recording)
    print(f"begun {recording.recording_id}", flush=True)  # noqa: T201 - the parent reads it
    await catalog.recordings.change(
        completed(recording), EventType.RECORDING_COMPLETED, expect=RUNNING, time=NOW, delivery=a_delivery(recording)
    )
    print(f"completed {recording.recording_id}", flush=True)  # noqa: T201


async def _main(url: str, application_id: UUID, count: int) -> None:
    catalog = await Catalog.open(url)

    async def writer() -> None:
        for _ in range(count // 4):
            await _write_one(catalog, application_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(writer())
    await catalog.aclose()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], UUID(sys.argv[2]), int(sys.argv[3])))

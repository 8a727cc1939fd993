"""What unit tests of several parts of the service use."""

from collections.abc import AsyncIterator

import pytest_asyncio

from recorder_service.rendering.process import RenderProcess


@pytest_asyncio.fixture
async def process() -> AsyncIterator[RenderProcess]:
    """One render process."""
    process = await RenderProcess.start()
    yield process
    await process.close()

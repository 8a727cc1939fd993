"""Noticing that the process which runs this one is gone."""

import asyncio
import sys
from collections.abc import Callable


async def wait_for_parent(on_gone: Callable[[], None]) -> None:
    """Call `on_gone` when standard input ends, which the supervisor holds open while it lives; then wait for ever."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while await reader.read(64):
            pass
        on_gone()
        await asyncio.Event().wait()
    finally:
        transport.close()

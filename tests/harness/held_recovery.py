"""A launcher: the real server, whose recovery takes until a file is there.

python -m tests.harness.held_recovery FILE serve [options]
"""

import asyncio
import sys
from pathlib import Path

from recorder_service.cli import main
from recorder_service.sessions.live_recordings import LiveRecordings


def hold(until: Path) -> None:
    """Let recovery wait."""
    recover = LiveRecordings.recover

    async def held(self: LiveRecordings) -> int:
        while not until.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
        return await recover(self)

    LiveRecordings.recover = held  # type: ignore[method-assign]


if __name__ == "__main__":
    hold(Path(sys.argv.pop(1)))
    main()

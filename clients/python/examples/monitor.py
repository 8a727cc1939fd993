"""A monitor: one line for every event of an application, without holes, across lost lines and its own restarts.

The place in the feed is kept in a file and written after every event, so that a monitor that was killed goes on there.

    python monitor.py --application ID --key app.key --cursor monitor.cursor
"""

import argparse
import asyncio
from pathlib import Path

from recorder.channel import connect
from recorder.tokens import application_token
from recorder.v1.event_pb2 import Event, EventType
from recorder.v1.event_service_pb2 import SubscribeEventsRequest
from recorder.v1.recording_pb2 import RecordingState


def line(event: Event) -> str:
    """Describe an event."""
    what = EventType.Name(event.type).removeprefix("EVENT_TYPE_").lower()
    state = RecordingState.Name(event.recording.state).removeprefix("RECORDING_STATE_").lower()
    return f"{event.time.ToJsonString()} {event.recording.recording_id} {what} ({state})"


def keep(path: Path, cursor: str) -> None:
    """Write the place, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(cursor)
    part.replace(path)


async def watch(options: argparse.Namespace, key: str, begin: SubscribeEventsRequest) -> None:
    """Print events until there were enough of them."""
    seen = 0
    async with connect(options.server, token=lambda: application_token(options.application, key)) as client:
        async for event in client.subscribe(begin):
            print(line(event), flush=True)
            await asyncio.to_thread(keep, options.cursor, event.cursor)
            seen += 1
            if seen == options.count:
                return


def main() -> None:
    """Follow the events."""
    parser = argparse.ArgumentParser(description="Follow an application's events.")
    parser.add_argument("--server", default="127.0.0.1:50051", help="HOST:PORT of Recorder")
    parser.add_argument("--application", required=True, help="application id")
    parser.add_argument("--key", type=Path, required=True, help="its private key")
    parser.add_argument("--cursor", type=Path, default=Path("monitor.cursor"), help="where the place is kept")
    parser.add_argument("--count", type=int, help="end after so many events")
    options = parser.parse_args()
    if options.cursor.exists():
        begin = SubscribeEventsRequest(cursor=options.cursor.read_text())
    else:
        begin = SubscribeEventsRequest(from_oldest=True)
    asyncio.run(watch(options, options.key.read_text(), begin))


if __name__ == "__main__":
    main()

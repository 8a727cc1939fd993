"""A client process of its own, to be killed: sends in real time and prints the recording's id, then every ack."""

import asyncio
import json
import sys
from pathlib import Path

from tests.harness.client import Call, Client, bearer, leg


async def main() -> None:
    """Record what the settings in the first argument say."""
    settings = json.loads(sys.argv[1])
    pcm = Path(settings["pcm"]).read_bytes()
    async with Client(settings["port"]) as client:
        call = Call(client, bearer(settings["token"]))
        await call.open(legs=[leg()], ncco={"action": "record", "format": "wav"})
        tell(call.recording_id)
        sending = asyncio.create_task(call.stream(caller=pcm, chunk_ms=20, speed=2))
        while True:
            tell((await call.until("ack")).ack.sequence)
            if sending.done():
                return


def tell(fact: object) -> None:
    """Write one line for whoever is going to kill this process."""
    sys.stdout.write(f"{fact}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())

"""A grpc.aio server that only receives: the floor under everything that is written with it.

`python -m tests.bench.bare_receiver [--tuned]` prints its port. Tuned is what `recorder serve` sets: the loop, the
poller and the options; otherwise everything is as gRPC has it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

_SERVICE = "recorder.v1.RecorderService"

Receive = Callable[[AsyncIterator[bytes], Any], Awaitable[None]]
"""Serves a stream: its messages, and the context of the RPC."""


def run(receive: Receive, *, tuned: bool) -> None:
    """Serve streams of calls until SIGTERM."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if not tuned:
        asyncio.run(_serve(receive, []))
        return
    import uvloop

    from recorder_service.cli import GRPC_EXPERIMENTS

    # Read when gRPC is imported, as by the next line.
    os.environ["GRPC_EXPERIMENTS"] = GRPC_EXPERIMENTS
    from recorder_service.api.server import TRANSPORT_OPTIONS

    uvloop.run(_serve(receive, list(TRANSPORT_OPTIONS)))


async def _serve(receive: Receive, options: list[tuple[str, int]]) -> None:
    import grpc

    handlers = {"RecordCall": grpc.stream_stream_rpc_method_handler(receive)}
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await end.wait()
    await server.stop(0)


async def _receive(requests: AsyncIterator[bytes], _context: object) -> None:
    async for _ in requests:
        pass


if __name__ == "__main__":
    run(_receive, tuned="--tuned" in sys.argv)

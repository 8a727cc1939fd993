"""A grpc.aio server that only receives: the floor under everything that is written with it.

`python -m tests.bench.bare_receiver [--tuned]` prints its port. Tuned is what `recorder serve` sets: the loop, the
poller and the options; otherwise everything is as gRPC has it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

_SERVICE = "recorder.v1.RecorderService"


def main(*, tuned: bool) -> None:
    """Receive until SIGTERM."""
    if tuned:
        import uvloop

        from recorder_service.api.server import TRANSPORT_OPTIONS

        uvloop.run(_serve(list(TRANSPORT_OPTIONS)))
    else:
        asyncio.run(_serve([]))


async def _serve(options: list[tuple[str, int]]) -> None:
    import grpc

    handlers = {"RecordCall": grpc.stream_stream_rpc_method_handler(_receive)}
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
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if "--tuned" in sys.argv:
        from recorder_service.cli import GRPC_EXPERIMENTS

        os.environ["GRPC_EXPERIMENTS"] = GRPC_EXPERIMENTS
    main(tuned="--tuned" in sys.argv)

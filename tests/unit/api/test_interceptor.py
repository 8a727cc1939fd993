"""What stands around every RPC, where no client can bring it about at will."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from recorder.v1 import recording_service_pb2 as messages
from recorder_service.access.principal import Principal
from recorder_service.api.interceptor import Interceptor
from recorder_service.errors import Reason

METHOD = "/recorder.v1.RecordingService/DownloadRecording"


class Everybody:
    """Lets everybody in."""

    async def verify(self, authorization_value: str | None) -> Principal:
        """Return the operator."""
        return Principal(None, admin=True)


class GoneClient:
    """Whom nothing can be written to any more, which a real one is for a moment only."""

    def invocation_metadata(self) -> tuple[()]:
        """Return nothing."""
        return ()

    async def write(self, message: object) -> None:
        """Fail as gRPC does."""
        raise grpc.aio.InternalError('Failed "execute_batch"')


async def one(request: object, context: object) -> AsyncIterator[messages.DownloadRecordingResponse]:
    yield messages.DownloadRecordingResponse()


async def test_write_to_a_client_that_died_is_a_cancellation_and_no_error_of_the_server() -> None:
    """Found by a client killed in the middle of a download, once in ten times."""
    told: list[tuple[str, str, Reason | None]] = []
    interceptor = Interceptor(Everybody(), lambda *ended: told.append(ended))
    inner = grpc.unary_stream_rpc_method_handler(one, messages.DownloadRecordingRequest.FromString)

    class Details:
        method = METHOD
        invocation_metadata = ()

    async def continuation(details: Any) -> Any:
        return inner

    details: Any = Details()
    handler: Any = await interceptor.intercept_service(continuation, details)
    with capture_logs() as logged, pytest.raises(asyncio.CancelledError):
        await handler.unary_stream(b"", GoneClient())
    assert told == [(METHOD, "CANCELLED", None)]
    assert not logged

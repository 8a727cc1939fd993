"""The connection to a Recorder server: tokens, TLS, and the calls and feeds made over it."""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
import grpc.aio

from recorder.calls import Call
from recorder.conference import Conference
from recorder.downloads import OnProgress, download_to
from recorder.errors import from_rpc_error
from recorder.events import Subscription
from recorder.line import CallSettings
from recorder.v1 import application_service_pb2_grpc as application_rpc
from recorder.v1 import event_service_pb2_grpc as event_rpc
from recorder.v1 import recorder_service_pb2_grpc as recorder_rpc
from recorder.v1 import recording_service_pb2_grpc as recording_rpc
from recorder.v1 import webhook_service_pb2_grpc as webhook_rpc
from recorder.v1.event_service_pb2 import SubscribeEventsRequest
from recorder.v1.recorder_service_pb2 import JoinConference, StartCall
from recorder.v1.recording_pb2 import Recording, RecordingFile
from recorder.v1.recording_service_pb2 import DownloadRecordingRequest, DownloadRecordingResponse, GetRecordingRequest

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

Token = str | Callable[[], str] | None
"""A token, a supplier asked before every request (so that tokens may be short-lived), or none."""

_UNARY_S = 15.0
_OPTIONS = (
    # A line that went dead without a word is noticed after 30 s, not after the kernel's many minutes.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Calls wait for the server with their own back-off; gRPC's would grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """How to trust the server, and how to be trusted by it; all PEM.

    Attributes:
        ca: Certificates that the server's must descend from; None means the system's.
        certificate: The client's own certificate chain, for mutual TLS.
        key: Its private key.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None


class Client:
    """A connection to one server. Use it as `async with connect(...) as client`.

    Attributes:
        applications: Stub of ApplicationService, for `unary`.
        recordings: Stub of RecordingService.
        webhooks: Stub of WebhookService.
    """

    def __init__(self, channel: grpc.aio.Channel, token: Token) -> None:
        """Take over a channel; it is closed with the client."""
        self.applications = application_rpc.ApplicationServiceStub(channel)
        self.recordings = recording_rpc.RecordingServiceStub(channel)
        self.webhooks = webhook_rpc.WebhookServiceStub(channel)
        self._recorder = recorder_rpc.RecorderServiceStub(channel)
        self._events = event_rpc.EventServiceStub(channel)
        self._channel = channel
        self._token = token

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close(None)

    async def unary(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        *,
        timeout_s: float = _UNARY_S,
    ) -> _Response:
        """Ask once, with the token and a deadline.

        Raises:
            RecorderError: If the server refused or could not be reached.
        """
        try:
            return await method(request, metadata=self._metadata(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    def record_call(self, start: StartCall, settings: CallSettings | None = None) -> Call:
        """Prepare the recording of a call; it begins when the result is entered with `async with`.

        Args:
            start: What to record. A recording id is chosen where there is none, so that a lost answer does no harm.
            settings: How to send it.

        Raises:
            ValueError: If there are no legs.
        """
        mine = StartCall()
        mine.CopyFrom(start)
        mine.recording_id = mine.recording_id or str(uuid.uuid4())
        return Call(
            mine,
            settings or CallSettings(),
            lambda: self._recorder.RecordCall(None, metadata=self._metadata()),
            self.recording,
        )

    def record_conference(self, join: JoinConference, settings: CallSettings | None = None) -> Conference:
        """Prepare a stream of a conference; it begins when the result is entered with `async with`.

        Args:
            join: Which conference, and who is there from the begin. A stream id is chosen where there is none, so that
                a lost answer does no harm.
            settings: How to send it.
        """
        mine = JoinConference()
        mine.CopyFrom(join)
        mine.stream_id = mine.stream_id or str(uuid.uuid4())
        return Conference(
            mine,
            settings or CallSettings(),
            lambda: self._recorder.RecordConference(None, metadata=self._metadata()),
        )

    def subscribe(
        self,
        request: SubscribeEventsRequest | None = None,
        *,
        reconnect_for_s: float = 300.0,
        on_subscribed: Callable[[], None] | None = None,
    ) -> Subscription:
        """Follow the event feed, across lost connections; see `Subscription`."""
        return Subscription(
            request or SubscribeEventsRequest(),
            lambda asked: self._events.SubscribeEvents(asked, metadata=self._metadata()),
            reconnect_for_s=reconnect_for_s,
            on_subscribed=on_subscribed,
        )

    async def recording(self, recording_id: str) -> Recording:
        """Get one recording as it stands."""
        request = GetRecordingRequest(recording_id=recording_id)
        return (await self.unary(self.recordings.GetRecording, request)).recording

    async def download(self, recording_id: str, offset_bytes: int = 0) -> AsyncIterator[DownloadRecordingResponse]:
        """Stream a finished file: its facts first, then its bytes from `offset_bytes` on.

        Raises:
            RecorderError: If there is no such file, or the connection broke: go on with a new offset.
        """
        request = DownloadRecordingRequest(recording_id=recording_id, offset_bytes=offset_bytes)
        stream = self.recordings.DownloadRecording(request, metadata=self._metadata())
        try:
            async for message in stream:
                yield message
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            stream.cancel()

    async def download_to(
        self, recording_id: str, path: Path, *, on_progress: OnProgress | None = None, reconnect_for_s: float = 60.0
    ) -> RecordingFile:
        """Write a finished file to `path`, checked, or nothing; see `recorder.downloads.download_to`."""
        return await download_to(self, recording_id, path, on_progress=on_progress, reconnect_for_s=reconnect_for_s)

    def _metadata(self) -> grpc.aio.Metadata:
        token = self._token() if callable(self._token) else self._token
        return grpc.aio.Metadata(("authorization", f"Bearer {token}")) if token else grpc.aio.Metadata()


def connect(target: str, *, token: Token = None, tls: Tls | None = None) -> Client:
    """Prepare a connection; it is made with the first request, from within a running event loop.

    Args:
        target: `HOST:PORT` of the server's gRPC port.
        token: The application's or the admin's token, or a supplier of fresh ones.
        tls: Trust; None means plaintext.
    """
    if tls is None:
        return Client(grpc.aio.insecure_channel(target, options=_OPTIONS), token)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    return Client(grpc.aio.secure_channel(target, credentials, options=_OPTIONS), token)

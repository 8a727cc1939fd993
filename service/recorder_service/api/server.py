"""The gRPC server: transport settings, TLS, health and reflection."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from recorder.v1 import (
    application_service_pb2,
    application_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    recorder_service_pb2,
    recorder_service_pb2_grpc,
    recording_service_pb2,
    recording_service_pb2_grpc,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)
from recorder_service.api.applications import ApplicationServicer
from recorder_service.api.events import EventServicer
from recorder_service.api.interceptor import Interceptor
from recorder_service.api.recorder import RecorderServicer
from recorder_service.api.recordings import RecordingServicer
from recorder_service.api.webhooks import WebhookServicer
from recorder_service.errors import Reason, StartupError

MAX_MESSAGE_BYTES = 256 * 1024
_MAX_METADATA_BYTES = 16 * 1024
TRANSPORT_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", 1000),
    # A client whose line is cut is noticed within 20 s; clients may ping every 10 s themselves.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 8_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # With it up to 5 MB of a stream that is not read are buffered; without it what the next line says.
    ("grpc.http2.bdp_probe", 0),
    # So much of a stream may be on the way unread: enough for two legs of 16 kHz over a round trip of half a second.
    ("grpc.http2.lookahead_bytes", 32 * 1024),
)


@dataclass(frozen=True, slots=True)
class Servicers:
    """One object a service of the contract; None where this node does not serve it."""

    recordings: RecordingServicer
    recorder: RecorderServicer | None = None
    events: EventServicer | None = None
    applications: ApplicationServicer | None = None
    webhooks: WebhookServicer | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files; with `client_ca` clients must show a certificate."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server listens.

    Attributes:
        address: `host:port`; port 0 picks a free one.
        tls: None serves plaintext.
        shared: Whether other nodes of this machine listen on the same port, and the system spreads connections.
    """

    address: str
    tls: Tls | None = None
    shared: bool = False


_RECORDING = recorder_service_pb2.DESCRIPTOR.services_by_name["RecorderService"].full_name
_LOOK_S = 0.5
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class GrpcServer:
    """Owns the server from its ports to its last stream.

    Attributes:
        port: Where it listens, once started.
        peer_port: Where it listens for other nodes; 0 where it does not.
    """

    def __init__(
        self, servicers: Servicers, interceptor: Interceptor, public: Listening, peers: Listening | None = None
    ) -> None:
        """Prepare to serve.

        Args:
            servicers: What is served.
            interceptor: Stands in front of all of it.
            public: Where callers find it.
            peers: Where other nodes find it; None where they do not.
        """
        # Without the option two servers on one port would share calls by chance.
        options = [*TRANSPORT_OPTIONS, ("grpc.so_reuseport", int(public.shared))]
        self._server = grpc.aio.server(interceptors=[interceptor], options=options)
        self._health = HealthServicer()
        self._refusing = False
        self._public = public
        self._peers = peers
        self.port = self.peer_port = 0
        self._names = self._add(servicers)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    def _add(self, servicers: Servicers) -> tuple[str, ...]:
        """Add the services there are and return their names."""
        served = (
            (recorder_service_pb2, recorder_service_pb2_grpc, "RecorderService", servicers.recorder),
            (recording_service_pb2, recording_service_pb2_grpc, "RecordingService", servicers.recordings),
            (event_service_pb2, event_service_pb2_grpc, "EventService", servicers.events),
            (application_service_pb2, application_service_pb2_grpc, "ApplicationService", servicers.applications),
            (webhook_service_pb2, webhook_service_pb2_grpc, "WebhookService", servicers.webhooks),
        )
        names = []
        for messages, stubs, name, servicer in served:
            if servicer is not None:
                getattr(stubs, f"add_{name}Servicer_to_server")(servicer, self._server)
                names.append(messages.DESCRIPTOR.services_by_name[name].full_name)
        return tuple(names)

    async def start(self) -> None:
        """Listen and serve; health says SERVING.

        Raises:
            StartupError: INVALID_CONFIGURATION, the address or a TLS file cannot be used.
        """
        self.port = self._listen(self._public, "--grpc-port")
        if self._peers is not None:
            self.peer_port = self._listen(self._peers, "--cluster-address")
        await self._server.start()
        await self._set_health(_SERVING)

    async def follow(self, takes_calls: Callable[[], bool]) -> None:
        """Let the health of RecorderService follow readiness, for ever; the other services serve all the while.

        Args:
            takes_calls: Whether a new call would be taken now: asked twice a second.
        """
        told = True
        while True:
            now = takes_calls()
            if now is not told and not self._refusing:
                told = now
                await self._health.set(_RECORDING, _SERVING if now else _NOT_SERVING)
            await asyncio.sleep(_LOOK_S)

    def _listen(self, where: Listening, flag: str) -> int:
        try:
            if where.tls is None:
                return self._server.add_insecure_port(where.address)
            return self._server.add_secure_port(where.address, _credentials(where.tls))
        except RuntimeError as error:
            message = f"gRPC cannot listen on {where.address} (is the port taken?): choose another with {flag}"
            raise StartupError(Reason.INVALID_CONFIGURATION, message) from error

    async def refuse(self) -> None:
        """Let health say NOT_SERVING of everything; what runs goes on."""
        self._refusing = True
        await self._set_health(_NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Take no new RPCs, and cut those that still run after the grace."""
        await self._server.stop(grace_s)

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in (*self._names, ""):
            await self._health.set(name, status)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    try:
        pair = (tls.key.read_bytes(), tls.cert.read_bytes())
        roots = None if tls.client_ca is None else tls.client_ca.read_bytes()
    except OSError as error:
        message = f"TLS file {error.filename} cannot be read ({error.strerror}): give PEM files the service can read"
        raise StartupError(Reason.INVALID_CONFIGURATION, message) from error
    return grpc.ssl_server_credentials([pair], root_certificates=roots, require_client_auth=roots is not None)

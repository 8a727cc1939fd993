"""The doors of a node: gRPC, downloads, operations, and the one for other nodes."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from recorder_service.access.cluster_tokens import ClusterTokens
from recorder_service.access.tokens import TokenVerifier
from recorder_service.api.applications import ApplicationServicer
from recorder_service.api.events import EventServicer
from recorder_service.api.interceptor import Cluster, Interceptor
from recorder_service.api.peers import Peers, PeerTls
from recorder_service.api.recorder import RecorderServicer
from recorder_service.api.recordings import RecordingServicer
from recorder_service.api.relay import Relay
from recorder_service.api.server import GrpcServer, Listening, Servicers, Tls
from recorder_service.api.webhooks import WebhookServicer
from recorder_service.bootstrap.ground import Ground, now
from recorder_service.bootstrap.recording import Live
from recorder_service.cluster.remote_steering import RemoteConferences, RemoteSteering
from recorder_service.config import Settings
from recorder_service.domain.node import Role
from recorder_service.finishing.removal import Removal
from recorder_service.http.app import create_operations_app, create_public_app
from recorder_service.http.authorisation import Authorisation
from recorder_service.http.conversations import Conversations
from recorder_service.http.downloads import DownloadLimits, Downloads
from recorder_service.http.health import Probe
from recorder_service.http.server import HttpServer
from recorder_service.http.tls import TlsFiles
from recorder_service.metrics.node import Metrics
from recorder_service.sessions.conferences import Conferences
from recorder_service.sessions.shared_conferences import SharedConferences
from recorder_service.webhooks.record_events import RecordEvents


@dataclass(frozen=True, slots=True)
class Service:
    """What the gRPC services serve from; `live` is None on a node that does not record."""

    ground: Ground
    verifier: TokenVerifier
    removal: Removal
    urls: RecordEvents
    live: Live | None


def public_server(
    settings: Settings, ground: Ground, authorisation: Authorisation, conversations: Conversations
) -> HttpServer:
    """Make the HTTP server of downloads, and of the recording of conversations."""
    limits = DownloadLimits(total=settings.max_downloads)
    downloads = Downloads(authorisation, ground.catalog.recordings, ground.store, ground.metrics.downloads, limits)
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = TlsFiles(settings.tls_cert, settings.tls_key)
    application = create_public_app(downloads, conversations)
    return HttpServer(application, settings.host, settings.http_port, tls=tls, shared=settings.reuse_port)


def operations_server(
    settings: Settings, metrics: Metrics, alive: Sequence[Probe], ready: Sequence[Probe]
) -> HttpServer:
    """Make the HTTP server of health and metrics; probes may be added to the sequences while it serves."""
    application = create_operations_app(metrics.registry, alive=alive, ready=ready)
    return HttpServer(application, settings.metrics_host or settings.host, settings.metrics_port)


def relay(settings: Settings, ground: Ground, stack: AsyncExitStack) -> tuple[Cluster, Relay] | None:
    """Make the way to the other nodes; None where this one shares no secret with any."""
    if settings.cluster_secret is None:
        return None
    tokens = ClusterTokens(settings.cluster_secret.get_secret_value(), now)
    tls = None
    if settings.cluster_ca is not None and settings.tls_cert is not None and settings.tls_key is not None:
        tls = PeerTls(settings.cluster_ca, settings.tls_cert, settings.tls_key)
    peers = Peers(ground.catalog.nodes, tls)
    stack.push_async_callback(peers.aclose)
    made = Relay(peers, tokens, max_streams=settings.max_live_recordings)
    return Cluster(tokens, made), made


def grpc_server(settings: Settings, service: Service, cluster: Cluster | None) -> GrpcServer:
    """Make the gRPC server with the services of the node's role."""
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    public = Listening(f"{_bracketed(settings.host)}:{settings.grpc_port}", tls, settings.reuse_port)
    peers = None
    if settings.cluster_address:
        peer_tls = tls and Tls(tls.cert, tls.key, settings.cluster_ca) if settings.cluster_ca is not None else None
        peers = Listening(settings.cluster_address, peer_tls)
    interceptor = Interceptor(service.verifier, service.ground.metrics.requests.ended, cluster, service.ground.tracing)
    return GrpcServer(_servicers(settings, service), interceptor, public, peers)


def _servicers(settings: Settings, service: Service) -> Servicers:
    catalog, live, urls = service.ground.catalog, service.live, service.urls
    recordings = RecordingServicer(
        catalog.recordings,
        RemoteSteering(catalog.recordings) if live is None else live.recordings,
        service.removal,
        service.ground.store,
        urls,
        conferences=conference_recording(live, service.ground),
    )
    recorder = None
    if live is not None:
        recorder = RecorderServicer(
            live.recordings, live.entrance, catalog.applications, settings, urls, rounds=live.rounds
        )
    if settings.role is Role.INGEST:
        return Servicers(recordings, recorder)
    return Servicers(
        recordings,
        recorder,
        EventServicer(
            catalog.events, urls, max_subscribers=settings.max_subscribers, meter=service.ground.metrics.events
        ),
        ApplicationServicer(catalog.applications, service.removal, service.verifier.forget),
        WebhookServicer(catalog.deliveries),
    )


def conference_recording(live: Live | None, ground: Ground) -> Conferences | SharedConferences | RemoteConferences:
    """Return what starts and stops the recordings of conferences."""
    return RemoteConferences(ground.catalog.conferences) if live is None else live.entrance


def advertised(settings: Settings, peer_port: int) -> str:
    """Return where other nodes reach this one."""
    host = settings.cluster_host or settings.cluster_address.rpartition(":")[0].strip("[]")
    return f"{_bracketed(host)}:{peer_port}"


def own_url(settings: Settings, port: int) -> str:
    """Return where downloads are reached if nobody says so."""
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://{_bracketed(settings.host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""The two HTTP applications: downloads for applications, and health and metrics for whoever runs the service."""

from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Route

from recorder_service.http.conversations import Conversations
from recorder_service.http.downloads import Downloads
from recorder_service.http.health import Probe, health_routes
from recorder_service.http.metrics import metrics_route
from recorder_service.http.problems import exception_handlers


def create_public_app(downloads: Downloads, conversations: Conversations) -> Starlette:
    """Make the application that faces the outside: files, and the recording of conversations."""
    return _application([*downloads.routes(), *conversations.routes()])


def create_operations_app(
    registry: CollectorRegistry,
    alive: Sequence[Probe],
    ready: Sequence[Probe],
    refresh: Callable[[], Awaitable[None]] | None = None,
) -> Starlette:
    """Make the application for the inside, on its own port: `/metrics`, `/healthz` and `/readyz`, without tokens."""
    return _application([metrics_route(registry, refresh), *health_routes(alive, ready)])


def _application(routes: Sequence[Route]) -> Starlette:
    application = Starlette(routes=routes, exception_handlers=exception_handlers())
    # A redirect would repeat the Host header of the request, which anybody can set.
    application.router.redirect_slashes = False
    return application

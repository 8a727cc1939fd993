"""`/metrics` for Prometheus."""

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def metrics_route(registry: CollectorRegistry, refresh: Callable[[], Awaitable[None]] | None = None) -> Route:
    """Make the route: the registry in the text format, or OpenMetrics where the scraper asks for it.

    Collectors run in a worker thread, one scrape at a time: thousands of series take tens of milliseconds.

    Args:
        registry: What is shown.
        refresh: Awaited before each scrape, for what has to be asked for.
    """
    one_at_a_time = asyncio.Lock()

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        async with one_at_a_time:
            if refresh is not None:
                await refresh()
            content = await asyncio.to_thread(encode, registry)
        return Response(content, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return Route("/metrics", metrics)

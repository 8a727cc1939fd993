"""`/metrics` for Prometheus."""

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def metrics_route(registry: CollectorRegistry) -> Route:
    """Make the route: the registry in the text format, or OpenMetrics where the scraper asks for it.

    Collectors run in a worker thread, one scrape at a time: thousands of series take tens of milliseconds.
    """
    one_at_a_time = asyncio.Lock()

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        async with one_at_a_time:
            content = await asyncio.to_thread(encode, registry)
        return Response(content, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return Route("/metrics", metrics)

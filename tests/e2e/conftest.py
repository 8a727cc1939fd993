"""One server for all end-to-end tests that do not kill it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.harness.client import Client, Tenant
from tests.harness.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with a short resume window."""
    with Server(tmp_path_factory.mktemp("server") / "data", arguments=["--resume-window-s", "1"]) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A raw client on its own channel."""
    async with Client(server.ports.grpc) as client:
        yield client


@pytest.fixture
async def tenant(server: Server, client: Client) -> Tenant:
    """A fresh application without an event URL."""
    return await client.create_tenant(server.admin_token)

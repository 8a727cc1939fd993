"""What the tests of the client share: a server of the contract, and a client to it."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.clients.contract_server import ContractServer, serve

from recorder.channel import Client, connect


@pytest.fixture
async def server() -> AsyncIterator[ContractServer]:
    async for running in serve():
        yield running


@pytest.fixture
async def client(server: ContractServer) -> AsyncIterator[Client]:
    async with connect(server.target, token="test-token") as connected:
        yield connected

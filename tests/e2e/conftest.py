"""One server for all end-to-end tests that do not kill it; figures they measured are told at the end of the run."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from tests.harness.client import Client, Tenant
from tests.harness.logs import faults
from tests.harness.receiver import Receiver
from tests.harness.server import Server

Figure = Callable[[str, float, str], None]

_FIGURES = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the tests measured."""
    lines = config.stash.get(_FIGURES, [])
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Note a measured figure: what, value, unit."""

    def note(what: str, value: float, unit: str) -> None:
        request.config.stash.setdefault(_FIGURES, []).append(f"{what}: {value:.4g} {unit}")

    return note


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with a short resume window; in the end it must not have logged a fault of its own."""
    with Server(tmp_path_factory.mktemp("server") / "data", arguments=["--resume-window-s", "2"]) as server:
        yield server
        code = server.terminate()
    assert code == 0
    assert faults(server.log) == []


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A raw client on its own channel."""
    async with Client(server.ports.grpc) as client:
        yield client


@pytest.fixture
async def tenant(server: Server, client: Client) -> Tenant:
    """A fresh application without an event URL."""
    return await client.create_tenant(server.admin_token)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver that answers 200."""
    with Receiver() as receiver:
        yield receiver

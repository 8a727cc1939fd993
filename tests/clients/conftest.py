"""Benches that the clients' tests share."""

from collections.abc import Iterator

import pytest
from tests.clients.conformance import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A server behind a proxy, with an application and audio; in the end it must not have logged a fault of its own."""
    with Bench(tmp_path_factory.mktemp("bench")) as bench:
        yield bench
        assert "Traceback" not in bench.server.log, bench.server.log


@pytest.fixture
def full_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A server that takes one call at a time."""
    with Bench(tmp_path_factory.mktemp("full"), arguments=["--max-live-recordings", "1"]) as bench:
        yield bench

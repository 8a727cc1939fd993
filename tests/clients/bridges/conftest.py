"""A recorder whose interrupted recordings are finished soon."""

from collections.abc import Iterator

import pytest
from tests.clients.conformance import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A server behind a proxy, with a resume window of one second."""
    with Bench(tmp_path_factory.mktemp("bench"), arguments=["--resume-window-s", "1"]) as bench:
        yield bench
        assert "Traceback" not in bench.server.log, bench.server.log

"""Real S3 servers, one of each for the whole run."""

import os
from collections.abc import Iterator

import pytest
from tests.harness import minio, seaweedfs
from tests.harness.fault_proxy import FaultProxy
from tests.harness.s3_bench import S3Bench, make_bench
from tests.harness.s3_server import S3Server


@pytest.fixture(scope="session")
def seaweedfs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run SeaweedFS; its package belongs to the development environment, so a missing one fails."""
    with seaweedfs.running(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run MinIO; where it was not built, continuous integration fails and everybody else is told."""
    try:
        minio.binary()
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(f"NOT TESTED AGAINST MINIO: {error}")
    with minio.running(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(params=["seaweedfs", "minio"])
def s3(request: pytest.FixtureRequest) -> Iterator[S3Bench]:
    """Give each real server in turn, behind a proxy that can fail."""
    server: S3Server = request.getfixturevalue(f"{request.param}_server")
    with FaultProxy(server.port) as proxy:
        yield make_bench(server, proxy)


@pytest.fixture
def one_s3(seaweedfs_server: S3Server) -> Iterator[S3Bench]:
    """Give one real server behind a proxy that can fail, for what does not depend on the server."""
    with FaultProxy(seaweedfs_server.port) as proxy:
        yield make_bench(seaweedfs_server, proxy)

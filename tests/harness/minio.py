"""A real MinIO server, built from its source: `python -m tests.harness.minio` builds it, which takes minutes."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.harness.s3_server import S3Server, free_ports, random_keys, start, stop, wait_ready

# RELEASE.2025-09-07T16-13-09Z
VERSION = "v0.0.0-20250907161309-07c3a429bfed"
_MODULE = "github.com/minio/minio"
_BUILD_TIMEOUT_S = 1800


def directory() -> Path:
    """Return where the built server is kept, outside the checkout."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "recorder-tests" / f"minio-{VERSION}"


def binary() -> Path:
    """Return the server's path.

    Raises:
        FileNotFoundError: It was not built.
    """
    found = directory() / "minio"
    if not found.is_file():
        raise FileNotFoundError(f"no MinIO server in {found}: build it with `python -m tests.harness.minio` (needs Go)")
    return found


def build() -> Path:
    """Build the server unless it is there, and return its path."""
    with contextlib.suppress(FileNotFoundError):
        return binary()
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError("building MinIO needs Go 1.24 or later in PATH")
    directory().mkdir(parents=True, exist_ok=True)
    # Moved into its place when it is whole: an interrupted build leaves nothing that looks like a server.
    part = directory() / "building"
    subprocess.run(
        [go, "install", "-trimpath", "-ldflags=-s -w", f"{_MODULE}@{VERSION}"],
        check=True,
        cwd=directory(),
        env={**os.environ, "GOBIN": str(part), "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
        timeout=_BUILD_TIMEOUT_S,
    )
    (part / "minio").rename(directory() / "minio")
    part.rmdir()
    return binary()


@contextlib.contextmanager
def running(
    data: Path,
    *,
    certificates: Path | None = None,
    environment: Mapping[str, str] | None = None,
    again: S3Server | None = None,
) -> Iterator[S3Server]:
    """Run a server with its data below `data`, on a free loopback port, with random keys.

    Args:
        data: An empty directory, or that of the server which is started again.
        certificates: Directory with `public.crt`, signed by itself, and `private.key`: the server speaks TLS.
        environment: Further settings of MinIO.
        again: A server that ran there before: its port and its keys are taken.
    """
    ca_file = certificates / "public.crt" if certificates else None
    server = again or S3Server("MinIO", free_ports(1)[0], *random_keys(), ca_file=ca_file)
    (data / "data").mkdir(exist_ok=again is not None)
    (data / "certificates").mkdir(exist_ok=again is not None)
    command = [str(binary()), "server", "--quiet", "--address", f"127.0.0.1:{server.port}"]
    command += ["--console-address", f"127.0.0.1:{free_ports(1)[0]}"]
    command += ["--certs-dir", str(certificates or data / "certificates"), str(data / "data")]
    settings = {
        "MINIO_ROOT_USER": server.access_key,
        "MINIO_ROOT_PASSWORD": server.secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
        **(environment or {}),
    }
    log = data / "server.log"
    process = start(command, log, {"PATH": os.environ["PATH"], "HOME": str(data), **settings})
    try:
        wait_ready(server, process, log)
        yield server
    finally:
        stop(process)


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")

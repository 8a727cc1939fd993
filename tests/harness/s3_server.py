"""What the real S3 servers of the tests have in common."""

import contextlib
import ctypes
import io
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minio import Minio
from minio.error import MinioException
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

_START_TIMEOUT_S = 60.0
# Of prctl(2), as in linux/prctl.h.
_PR_SET_PDEATHSIG = 1
# Nothing of theirs is kept.
_STOP_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class S3Server:
    """A running server on loopback. Its keys are good for everything.

    Attributes:
        name: Of the software.
        port: Of the S3 interface, plain HTTP unless started with certificates.
        ca_file: Authority of its certificate; it speaks TLS if there is one.
    """

    name: str
    port: int
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    ca_file: Path | None = None

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.ca_file is not None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self.secure else ''}://127.0.0.1:{self.port}"

    def client(self) -> Minio:
        """Return a plain client with short time limits, for what tests do behind the store's back."""
        http = PoolManager(
            timeout=Timeout(connect=2, read=20),
            retries=Retry(total=2, backoff_factor=0.2),
            ca_certs=str(self.ca_file) if self.ca_file else None,
        )
        return Minio(
            f"127.0.0.1:{self.port}",
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=self.secure,
            region="us-east-1",
            http_client=http,
        )


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def random_keys() -> tuple[str, str]:
    """Return an access key and a secret key that nobody knows."""
    return secrets.token_hex(10), secrets.token_hex(20)


def start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a server whose output goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env=dict(environment),
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )


def _end_with_parent() -> None:
    """Ask the kernel to end the server when the tests are killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_ready(server: S3Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the server takes an object and gives it back.

    Raises:
        RuntimeError: It ended, or does not serve in time; with the end of its log.
    """
    deadline, client, bucket = time.monotonic() + _START_TIMEOUT_S, server.client(), "ready"
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(MinioException, HTTPError, OSError),
            socket.create_connection(("127.0.0.1", server.port), timeout=1),
        ):
            if not client.bucket_exists(bucket_name=bucket):
                client.make_bucket(bucket_name=bucket)
            client.put_object(bucket_name=bucket, object_name="ready", data=io.BytesIO(b"ready"), length=5)
            return
        time.sleep(0.1)
    raise RuntimeError(f"{server.name} does not serve:\n{log.read_text(errors='replace')[-4000:]}")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server by its own process id."""
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

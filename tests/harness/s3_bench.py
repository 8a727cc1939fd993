"""An S3 server behind a fault proxy, and what tests do behind the store's back."""

import contextlib
import hashlib
import io
import os
import secrets
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.harness.fault_proxy import FaultProxy
from tests.harness.s3_server import S3Server

from recorder_service.storage.s3 import S3Store
from recorder_service.storage.s3_client import S3Client
from recorder_service.storage.s3_settings import S3Settings

KEY = "5d2c/2026/11/22/0b9ecb43-7b51-4c2c-8a33-0d4a4bb2a6cc.mp3"


@dataclass(frozen=True)
class File:
    """A file to store and what is promised about it."""

    path: Path
    data: bytes

    @property
    def promise(self) -> dict[str, Any]:
        """Its size and hash, as arguments."""
        return {"size_bytes": len(self.data), "sha256": hashlib.sha256(self.data).hexdigest()}


def make_file(directory: Path, size_bytes: int) -> File:
    """Write random bytes."""
    data = os.urandom(size_bytes)
    path = directory / f"{secrets.token_hex(8)}.mp3"
    path.write_bytes(data)
    return File(path, data)


@dataclass(frozen=True)
class S3Bench:
    """A real server, the proxy in front of it, and settings that go through the proxy."""

    server: S3Server
    proxy: FaultProxy
    settings: S3Settings

    def with_settings(self, **changes: Any) -> "S3Bench":
        """Return the same bench with other settings."""
        return replace(self, settings=replace(self.settings, **changes))

    @contextlib.asynccontextmanager
    async def store(self, **changes: Any) -> AsyncIterator[S3Store]:
        """Make a checked store and close it in the end."""
        store = S3Store(replace(self.settings, **changes))
        try:
            await store.check()
            self.proxy.requests.clear()
            yield store
        finally:
            self.proxy.pass_through()
            await store.aclose()

    def name(self, key: str = KEY) -> str:
        """Return the object's name for a key."""
        return self.settings.object_name(key)

    def put(self, data: bytes, key: str = KEY, metadata: dict[str, Any] | None = None) -> None:
        """Put an object past the store."""
        self.server.client().put_object(
            bucket_name=self.settings.bucket,
            object_name=self.name(key),
            data=io.BytesIO(data),
            length=len(data),
            metadata=metadata,
        )

    def names(self) -> list[str | None]:
        """List what is stored below the prefix."""
        found = self.server.client().list_objects(
            bucket_name=self.settings.bucket, prefix=self.settings.prefix, recursive=True
        )
        return [one.object_name for one in found]

    def unfinished(self, key: str = KEY) -> list[str]:
        """List the unfinished uploads of a key."""
        server = self.server
        client = S3Client(
            f"127.0.0.1:{server.port}",
            access_key=server.access_key,
            secret_key=server.secret_key,
            secure=False,
            region="us-east-1",
        )
        return [found.upload_id for found in client.unfinished_uploads(self.settings.bucket, self.name(key))]

    def sent(self, pattern: str) -> list[str]:
        """Return the requests whose first line holds `pattern`."""
        return [line for line in self.proxy.requests if pattern in line]


def make_bench(server: S3Server, proxy: FaultProxy) -> S3Bench:
    """Make a bench with a prefix of its own; its time limits bear a busy machine."""
    settings = S3Settings(
        endpoint=f"http://127.0.0.1:{proxy.port}",
        bucket="contract",
        prefix=f"test-{secrets.token_hex(8)}",
        access_key=server.access_key,
        secret_key=server.secret_key,
        connect_timeout_s=5.0,
        read_timeout_s=10.0,
        part_bytes=5 * 1024 * 1024,
    )
    return S3Bench(server, proxy, settings)


def busy_threads(prefix: str) -> int:
    """Count living threads by the beginning of their name."""
    return sum(thread.name.startswith(prefix) for thread in threading.enumerate())

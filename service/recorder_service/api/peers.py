"""Channels to the other nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from recorder_service.domain.node import NodeState
from recorder_service.errors import Elsewhere, Reason, StartupError

_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", 1024 * 1024),
    # As the server's: without it up to 64 KB of a stream that is not read are buffered, not 5 MB.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 8_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
)


class NodeDirectory(Protocol):
    """Knows the nodes."""

    async def find(self, node_id: str) -> NodeState | None:
        """Return a node, alive or not."""


@dataclass(frozen=True, slots=True)
class PeerTls:
    """PEM files for TLS between nodes: what is trusted, and what this node shows."""

    ca: Path
    cert: Path
    key: Path


class Peers:
    """One channel to each node that something was passed on to."""

    def __init__(self, nodes: NodeDirectory, tls: PeerTls | None) -> None:
        """Look nodes up in `nodes`.

        Raises:
            StartupError: INVALID_CONFIGURATION, a TLS file cannot be read.
        """
        self._nodes = nodes
        self._credentials = None if tls is None else _credentials(tls)
        self._channels: dict[str, tuple[str, grpc.aio.Channel]] = {}

    async def channel(self, owner: Elsewhere) -> grpc.aio.Channel:
        """Return a channel to a node that is alive.

        Raises:
            Elsewhere: `owner` itself, since the node's lease is over or it cannot be reached.
        """
        state = await self._nodes.find(owner.node_id)
        if state is None or not state.alive or not state.address:
            await self._drop(owner.node_id)
            raise owner
        known = self._channels.get(owner.node_id)
        if known is not None and known[0] == state.address:
            return known[1]
        # It was started again: whatever ran on the old channel is over.
        await self._drop(owner.node_id)
        channel = self._open(state.address)
        self._channels[owner.node_id] = (state.address, channel)
        return channel

    async def aclose(self) -> None:
        """Close all channels; what runs on them is cancelled."""
        for node_id in list(self._channels):
            await self._drop(node_id)

    def _open(self, address: str) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(address, options=list(_OPTIONS))
        return grpc.aio.secure_channel(address, self._credentials, options=list(_OPTIONS))

    async def _drop(self, node_id: str) -> None:
        known = self._channels.pop(node_id, None)
        if known is not None:
            await known[1].close(None)


def _credentials(tls: PeerTls) -> grpc.ChannelCredentials:
    try:
        return grpc.ssl_channel_credentials(tls.ca.read_bytes(), tls.key.read_bytes(), tls.cert.read_bytes())
    except OSError as error:
        message = f"TLS file {error.filename} cannot be read ({error.strerror}): give PEM files the service can read"
        raise StartupError(Reason.INVALID_CONFIGURATION, message) from error

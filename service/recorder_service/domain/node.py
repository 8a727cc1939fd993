"""Nodes: running recorders that share a catalog."""

import enum
from dataclasses import dataclass


class Role(enum.Enum):
    """What a node does."""

    ALL = "all"
    INGEST = "ingest"
    HTTP = "http"
    DISPATCHER = "dispatcher"

    @property
    def records(self) -> bool:
        """Whether it takes calls, and so has a journal."""
        return self in {Role.ALL, Role.INGEST}

    @property
    def serves_files(self) -> bool:
        """Whether applications download and read here."""
        return self in {Role.ALL, Role.HTTP}

    @property
    def keeps_house(self) -> bool:
        """Whether it sends webhooks, and removes what is due to go."""
        return self in {Role.ALL, Role.DISPATCHER}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a node may write as: its id and the epoch of this run. Only the newest epoch of a node counts."""

    node_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as the others see it.

    Attributes:
        address: `host:port` at which other nodes reach it; empty while it listens for none.
        place: The machine and the directory lock it runs under.
        lease_left_s: How long it is taken to be alive; zero or less once its lease is over.
    """

    claim: Claim
    address: str
    place: str
    lease_left_s: float

    @property
    def alive(self) -> bool:
        """Whether its lease runs."""
        return self.lease_left_s > 0

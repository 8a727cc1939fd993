"""Taking a node's lease at start: at once where nobody else can have it, and never beside somebody who does."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from recorder_service.cluster.lease import clock_s
from recorder_service.domain.node import Claim, NodeState, Role
from recorder_service.errors import Reason, StartupError

log = structlog.get_logger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SLACK_S = 0.2
_TRIES = 5


class NodeTable(Protocol):
    """The catalog's nodes."""

    async def find(self, node_id: str) -> NodeState | None:
        """Return a node."""

    async def take(self, node_id: str, role: Role, place: str, lease_s: float, *, over: Claim | None) -> Claim | None:
        """Begin a new epoch of a node, unless somebody else just did."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A process that wants to run as a node.

    Attributes:
        place: Where it runs, from `place_of`: two processes with the same place cannot both hold the journal's lock.
        patient: Whether to wait for another's lease to end; else it is refused at once.
    """

    node_id: str
    role: Role
    place: str
    lease_s: float
    patient: bool = True


@dataclass(frozen=True, slots=True)
class Taken:
    """A lease that was taken; `asked_s` is `clock_s()` before it was asked for."""

    claim: Claim
    asked_s: float


def place_of(lock: Path) -> str:
    """Name the machine, as booted, and the lock file on it.

    A process that holds the lock of the place in the catalog knows that the one before it is gone. A directory on
    another machine, or a copy, is another place: there only the end of the lease tells.
    """
    found = lock.stat()
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown"
    return f"{boot}/{found.st_dev}/{found.st_ino}"


async def join(table: NodeTable, applicant: Applicant) -> Taken:
    """Take the lease.

    Raises:
        StartupError: DIRECTORY_LOCKED, the node runs somewhere else.
        Unavailable: CATALOG_FAILED.
    """
    waited = False
    for _ in range(_TRIES):
        known = await table.find(applicant.node_id)
        if known is not None and known.alive and known.place != applicant.place:
            if waited or not applicant.patient:
                raise _runs_elsewhere(known)
            log.warning("waiting_for_lease", node_id=applicant.node_id, left_s=round(known.lease_left_s, 1))
            await asyncio.sleep(known.lease_left_s + _SLACK_S)
            waited = True
            continue
        asked_s = clock_s()
        over = None if known is None else known.claim
        claim = await table.take(applicant.node_id, applicant.role, applicant.place, applicant.lease_s, over=over)
        if claim is not None:
            return Taken(claim, asked_s)
    raise StartupError(
        Reason.DIRECTORY_LOCKED,
        f"node {applicant.node_id} is started again and again somewhere else: give each node a directory of its own",
        details={"node_id": applicant.node_id},
    )


def _runs_elsewhere(known: NodeState) -> StartupError:
    return StartupError(
        Reason.DIRECTORY_LOCKED,
        f"node {known.claim.node_id} runs somewhere else (its lease lasts {known.lease_left_s:.0f} s more): stop it "
        "there and wait for that time. If this directory is a copy of its, remove the copied `node-id`, `journal` and "
        "`spool`",
        details={"node_id": known.claim.node_id, "lease_left_s": f"{known.lease_left_s:.1f}"},
    )

"""A node's lease: renewed while the node lives, and what the node may do when it could not be."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from recorder_service.domain.node import Claim
from recorder_service.errors import Conflict, Reason, RecorderError, Unavailable

log = structlog.get_logger(__name__)

_RENEWALS_A_LEASE = 3
_RETRY_AFTER_S = 1.0


class Renewals(Protocol):
    """The catalog's nodes, as one that renews its lease sees them."""

    async def renew(self, claim: Claim, lease_s: float, address: str) -> bool:
        """Let the lease last from now on; False if the epoch has moved on."""

    async def leave(self, claim: Claim) -> None:
        """End the lease."""


class Lease:
    """Says whether this node may write as the owner of its recordings.

    Three states. *Held*. *Over*: it could not be renewed in time, since the catalog was away or this process stood
    still; nothing new begins and nothing is written until a renewal succeeds, but live calls go on. *Fenced*: another
    process began a newer epoch of this node; this one can never write again and has to end.

    Belongs to the event loop, but for `check`.

    Attributes:
        name: Names it among the probes.
        claim: Who this node is, in which epoch.
    """

    name = "lease"

    def __init__(
        self,
        renewals: Renewals,
        claim: Claim,
        lease_s: float,
        *,
        taken_s: float,
        on_fenced: Callable[[], None],
    ) -> None:
        """Hold a lease that was just taken.

        Args:
            renewals: Where it is renewed.
            claim: What was taken.
            lease_s: How long it lasts unless it is renewed.
            taken_s: `clock_s()` before it was asked for: it lasts from then on, not from the answer.
            on_fenced: Called once in the loop when the lease is lost for good.
        """
        self.claim = claim
        self._renewals = renewals
        self._lease_s = lease_s
        self._until_s = taken_s + lease_s
        self._since_s = taken_s
        self._on_fenced = on_fenced
        self._fenced = False
        self._address = ""
        self._loop = asyncio.get_running_loop()

    @property
    def held(self) -> bool:
        """Whether the lease runs, by this machine's clock."""
        return not self._fenced and clock_s() < self._until_s

    @property
    def steady(self) -> bool:
        """Whether it has run for as long as a lease lasts: by now every node that lives has renewed its own.

        While the database is away all leases end. Who is back first would else take the others for dead.
        """
        return self.held and clock_s() - self._since_s >= self._lease_s

    @property
    def fenced(self) -> bool:
        """Whether it is lost for good."""
        return self._fenced

    def fault(self) -> str | None:
        """Say why new calls should stay away."""
        return None if self.held else "fenced" if self._fenced else "over"

    def refusal(self) -> RecorderError | None:
        """Return why nothing may be begun or written, or None. Safe in any thread."""
        if self.held:
            return None
        if self._fenced:
            return _fenced(self.claim)
        message = "the node's lease is over: it is renewed as soon as the database answers"
        return Unavailable(Reason.CATALOG_FAILED, message, retry_after_s=_RETRY_AFTER_S)

    def check(self) -> None:
        """Refuse to write while the lease is not held. Safe in any thread.

        Raises:
            Conflict: NODE_FENCED.
            Unavailable: CATALOG_FAILED, the lease is over for now.
        """
        if (refusal := self.refusal()) is not None:
            raise refusal

    def lose(self) -> None:
        """Note that the catalog refused a write of this epoch. Safe in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the node is down already
            self._loop.call_soon_threadsafe(self._fence)

    async def advertise(self, address: str) -> None:
        """Tell the other nodes where this one is reached; if the catalog is away, with the next renewal."""
        self._address = address
        await self.renew()

    async def run(self) -> None:
        """Renew until the lease is lost for good."""
        while not self._fenced:
            await asyncio.sleep(self._lease_s / _RENEWALS_A_LEASE)
            await self.renew()

    async def renew(self) -> None:
        """Renew once; an error is logged, and it is tried again a third of a lease later."""
        asked_s = clock_s()
        try:
            async with asyncio.timeout(self._lease_s / _RENEWALS_A_LEASE):
                renewed = await self._renewals.renew(self.claim, self._lease_s, self._address)
        except (RecorderError, TimeoutError) as error:
            log.warning("lease_not_renewed", error=str(error), held=self.held)
            return
        if not renewed:
            self._fence()
            return
        if asked_s > self._until_s:
            log.warning("lease_was_over", over_s=round(asked_s - self._until_s, 1))
            self._since_s = asked_s
        self._until_s = asked_s + self._lease_s

    async def leave(self) -> None:
        """End the lease, so that nobody has to wait for its end; a catalog that is away ends it by its clock."""
        if self._fenced:
            return
        with contextlib.suppress(RecorderError, TimeoutError):
            async with asyncio.timeout(self._lease_s / _RENEWALS_A_LEASE):
                await self._renewals.leave(self.claim)

    def _fence(self) -> None:
        if not self._fenced:
            self._fenced = True
            log.error("node_fenced", node_id=self.claim.node_id, epoch=self.claim.epoch)
            self._on_fenced()


def clock_s() -> float:
    """Return a clock that only moves on, and does so while the process or the machine is stopped."""
    boot_time: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


def _fenced(claim: Claim) -> Conflict:
    message = f"node {claim.node_id} lost its lease for good in epoch {claim.epoch}: resume elsewhere"
    return Conflict(Reason.NODE_FENCED, message, retry_after_s=_RETRY_AFTER_S)

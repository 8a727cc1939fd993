"""`/healthz` and `/readyz`: is the process alive, and should it get new calls?"""

from collections.abc import Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from recorder_service.http.problems import SAFE_HEADERS


class Probe(Protocol):
    """One thing that can be well or not. It looks at what is known: it never waits and never asks another host."""

    @property
    def name(self) -> str:
        """Names it in the answer."""

    def fault(self) -> str | None:
        """Say what is wrong in words fit for anybody, or None."""


def health_routes(alive: Sequence[Probe], ready: Sequence[Probe]) -> list[Route]:
    """Make the two routes: 200 `{"status":"ok"}`, or 503 with the faults by name.

    Args:
        alive: What only a restart can mend: the journal's writer thread, say. Never the store or the database.
        ready: What keeps new calls away for a while: recovery, draining, a disk over its soft mark.
    """

    async def healthz(_request: Request) -> JSONResponse:
        return _answer(alive)

    async def readyz(_request: Request) -> JSONResponse:
        return _answer((*alive, *ready))

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _answer(probes: Sequence[Probe]) -> JSONResponse:
    faults = {probe.name: fault for probe in probes if (fault := probe.fault()) is not None}
    if faults:
        return JSONResponse({"status": "unavailable", "faults": faults}, 503, SAFE_HEADERS)
    return JSONResponse({"status": "ok"}, 200, SAFE_HEADERS)

"""RPCs as spans, where somebody traces them."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Span(Protocol):
    """An RPC under way."""

    def note(self, name: str, value: str | int) -> None:
        """Add an attribute."""

    def fail(self, reason: str) -> None:
        """Say that it failed."""


class Tracing(Protocol):
    """Makes spans of RPCs."""

    def server(
        self, name: str, attributes: Mapping[str, str | int], metadata: Mapping[str, str]
    ) -> AbstractContextManager[Span]:
        """Trace an RPC; `metadata` may hold the caller's `traceparent`."""


class _Nothing:
    def note(self, name: str, value: str | int) -> None:
        """Note nothing."""

    def fail(self, reason: str) -> None:
        """Note nothing."""


class Untraced:
    """Traces nothing."""

    @contextmanager
    def server(
        self,
        name: str,
        attributes: Mapping[str, str | int],
        metadata: Mapping[str, str],
    ) -> Iterator[Span]:
        """Trace nothing."""
        yield _Nothing()

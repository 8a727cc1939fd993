"""What is traced, and how it is traced when nobody asked for it: not at all."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Attributes = Mapping[str, str | int]


class Span(Protocol):
    """A piece of work under way."""

    def note(self, name: str, value: str | int) -> None:
        """Add an attribute: never an id of a person, a number, a digit, a token or a URL."""

    def fail(self, reason: str) -> None:
        """Say that it failed."""


class Tracing(Protocol):
    """Makes spans."""

    def server(self, name: str, attributes: Attributes, metadata: Mapping[str, str]) -> AbstractContextManager[Span]:
        """Trace work that somebody asked for; `metadata` may hold their `traceparent` (W3C Trace Context)."""

    def client(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """Trace work that somebody else is asked for."""

    def close(self) -> None:
        """Send what is not sent yet. Blocks for some seconds at most."""


class NoSpan:
    """Notes nothing."""

    def note(self, name: str, value: str | int) -> None:
        """Note nothing."""

    def fail(self, reason: str) -> None:
        """Note nothing."""


class NoTracing:
    """Traces nothing."""

    @contextmanager
    def server(self, name: str, attributes: Attributes, metadata: Mapping[str, str]) -> Iterator[Span]:  # noqa: ARG002
        """Trace nothing."""
        yield NoSpan()

    @contextmanager
    def client(self, name: str, attributes: Attributes) -> Iterator[Span]:  # noqa: ARG002
        """Trace nothing."""
        yield NoSpan()

    def close(self) -> None:
        """Do nothing."""

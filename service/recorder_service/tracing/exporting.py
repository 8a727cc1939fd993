"""Spans by OpenTelemetry's SDK, sent as OTLP over HTTP. Imported only where traces are wanted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from recorder_service import __version__
from recorder_service.errors import RecorderError
from recorder_service.tracing.spans import Attributes, Span

_FLUSH_MS = 3000
_SERVICE = "recorder"


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._failed = False

    def note(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        if self._failed:
            return  # what is known first is known best
        self._failed = True
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))


class ExportedTracing:
    """Traces for real. Spans are gathered and sent by a thread of the SDK, never by the event loop.

    While a span is open, every log line of its context has its `trace_id` and `span_id`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Send where the OTEL_* variables say; the SDK reads them itself."""
        named = "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
        facts = {"service.version": __version__}
        if not named and not environment.get("OTEL_SERVICE_NAME"):
            facts["service.name"] = _SERVICE
        self._provider = TracerProvider(resource=Resource.create(facts), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("recorder_service", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def server(self, name: str, attributes: Attributes, metadata: Mapping[str, str]) -> Iterator[Span]:
        """Trace work that somebody asked for, as a child of their span if they told it."""
        # An empty context: whatever span the event loop's callback happened to run in is not the parent.
        with self._span(name, SpanKind.SERVER, attributes, self._propagator.extract(metadata, Context())) as span:
            yield span

    @contextmanager
    def client(self, name: str, attributes: Attributes) -> Iterator[Span]:
        """Trace work that somebody else is asked for, as a child of what is under way."""
        with self._span(name, SpanKind.CLIENT, attributes, None) as span:
            yield span

    def close(self) -> None:
        """Send what is not sent yet, within 3 s."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()

    @contextmanager
    def _span(self, name: str, kind: SpanKind, attributes: Attributes, parent: Context | None) -> Iterator[Span]:
        # Exceptions are told by their type alone: messages may hold what a caller sent.
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            place = span.get_span_context()
            traced = _Span(span)
            ids = {"trace_id": f"{place.trace_id:032x}", "span_id": f"{place.span_id:016x}"}
            with structlog.contextvars.bound_contextvars(**ids):
                try:
                    yield traced
                except Exception as error:
                    reason = error.reason.value if isinstance(error, RecorderError) else type(error).__name__
                    traced.fail(reason)
                    raise

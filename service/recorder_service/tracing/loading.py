"""Whether traces are wanted, as OpenTelemetry's environment variables say.

Source: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration".
"""

from collections.abc import Mapping

from recorder_service.errors import Reason, StartupError
from recorder_service.tracing.spans import NoTracing, Tracing

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


def load_tracing(environment: Mapping[str, str]) -> Tracing:
    """Return what traces; OpenTelemetry is imported only if the environment asks for traces.

    Raises:
        StartupError: INVALID_CONFIGURATION: the packages are missing, or something is asked for that is not there.
    """
    if not _wanted(environment):
        return NoTracing()
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise _refused(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: set it to {_PROTOCOL}")
    try:
        from recorder_service.tracing.exporting import ExportedTracing
    except ImportError as error:
        message = f"traces are asked for by OTEL_*, but {error.name} is not installed: install recorder-service[otel]"
        raise _refused(message) from error
    return ExportedTracing(environment)


def _wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in {"", "none", "otlp"}:
        raise _refused(f"OTEL_TRACES_EXPORTER is {exporter!r}: set it to otlp or none")
    if exporter:
        return exporter == "otlp"
    return any(environment.get(name) for name in _ENDPOINTS)


def _refused(message: str) -> StartupError:
    return StartupError(Reason.INVALID_CONFIGURATION, message)

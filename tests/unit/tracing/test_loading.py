"""Whether traces are wanted."""

import sys

import pytest

from recorder_service.errors import StartupError
from recorder_service.tracing.loading import load_tracing
from recorder_service.tracing.spans import NoTracing

SOMEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_TRACES_EXPORTER": "none", **SOMEWHERE}, {"OTEL_SDK_DISABLED": "true", **SOMEWHERE}],
)
def test_nothing_is_traced_unless_asked_for(environment: dict[str, str]) -> None:
    """No variable, `none`, or the SDK switched off."""
    assert isinstance(load_tracing(environment), NoTracing)


@pytest.mark.parametrize(
    "environment",
    [SOMEWHERE, {"OTEL_TRACES_EXPORTER": "otlp"}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/x"}],
)
def test_usual_variables_turn_traces_on(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint, or the exporter by name."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tracing = load_tracing(environment)
    assert not isinstance(tracing, NoTracing)
    tracing.close()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "set it to otlp or none"),
        ({**SOMEWHERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "set it to http/protobuf"),
    ],
)
def test_what_is_not_there_is_refused_at_start(environment: dict[str, str], said: str) -> None:
    """Rather than traced to nowhere."""
    with pytest.raises(StartupError, match=said):
        load_tracing(environment)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.delitem(sys.modules, "recorder_service.tracing.exporting", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(StartupError, match=r"install recorder-service\[otel\]"):
        load_tracing(SOMEWHERE)

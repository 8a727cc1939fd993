"""Optional traces: RPCs that come in, the file store, webhooks that go out. Without the OTEL_* variables: nothing."""

"""gRPC: one module a service, thin; the contract's messages go no further than here."""

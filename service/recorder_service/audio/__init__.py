"""Audio: from raw payloads with positions to samples an encoder can take. Numbers only, no I/O, no gRPC."""

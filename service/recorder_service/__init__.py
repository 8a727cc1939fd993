"""Recorder: call and conference recording as a gRPC service."""

__version__ = "0.1.0"

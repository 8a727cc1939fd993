"""Proofs of what the service promises when things break: `python -m tests.robustness`."""

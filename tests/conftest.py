"""Tests that cannot run on the deployment that was asked for are skipped, and say why."""

import os
from pathlib import Path

import pytest
from tests.harness import deployment

# Read when grpc is imported. Its handlers of fork would run in each PostgreSQL that a test starts, before it is one.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# Servers are started by the hundred: another process each would take a quarter of the time of that.
os.environ.setdefault("RECORDER_TEST_RENDER_PROCESSES", "1")
_ON_A_DEPLOYMENT = ("e2e", "robustness")
_HERE = Path(__file__).parent


def pytest_report_header() -> str:
    """Name the deployment."""
    return f"recorder: {deployment.named()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot be tested there."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.path.relative_to(_HERE).parts[0] in _ON_A_DEPLOYMENT:
            reason = deployment.not_here(item.nodeid)
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))

"""What the tests of the command line share: the command as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Recorder = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """Run `recorder` in an empty directory, with nothing of the surroundings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER_")}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "recorder_service", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    return run

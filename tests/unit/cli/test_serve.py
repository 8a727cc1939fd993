"""What `recorder serve` loads before it serves: what only render processes or certain settings need stays away."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness import processes
from tests.harness.server import Server

_LOAD = """
import sys
from recorder_service.cli import commands
from recorder_service.bootstrap import serve
from recorder_service.config import load_settings
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that `serve` has imported when it begins to work."""
    done = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "library", ["numpy", "lameenc", "soxr", "fastcrc", "alembic", "asyncpg", "minio", "opentelemetry"]
)
def test_library_that_not_every_node_needs_is_not_loaded_at_start(loaded: set[str], library: str) -> None:
    """NumPy alone takes 50 ms and 12 MB."""
    assert "recorder_service.bootstrap.node" in loaded
    assert library not in loaded


@pytest.mark.parametrize("rendering", [True, False], ids=["in processes", "in threads"])
def test_samples_are_where_audio_is_rendered(tmp_path: Path, *, rendering: bool) -> None:
    """A node that serves has NumPy in its render processes; without these, in itself before the first call comes."""
    settings = {"RECORDER_RENDER_PROCESSES": str(int(rendering))}
    with Server(tmp_path / "data", environment=settings) as server:
        nodes = set(processes.family(server.pid)) - set(processes.render_processes(server.pid))
        assert [_holds_numpy(pid) for pid in nodes] == [not rendering] * len(nodes)
        assert len(processes.render_processes(server.pid)) == int(rendering)


def _holds_numpy(pid: int) -> bool:
    return "numpy" in Path(f"/proc/{pid}/maps").read_text()

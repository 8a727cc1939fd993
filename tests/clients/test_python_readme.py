"""The Python client's README, followed word for word from an empty directory."""

import hashlib
import os
import re
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tests.harness.files import wav_channels

ROOT = Path(__file__).parents[2]
README = ROOT / "clients" / "python" / "README.md"
INSTALL_S = 500


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_S + 60)
def test_readme_records_a_file_from_an_empty_directory(tmp_path: Path) -> None:
    """A fresh environment, the two packages, the commands and the program as they stand; only the ports are others."""
    (console,), (program,) = blocks("console"), blocks("python")
    (tmp_path / "record.py").write_text(program)
    commands = [line.removeprefix("$ ") for line in console.splitlines()]
    ports = {name: free_port() for name in ("GRPC", "HTTP", "METRICS")}
    environment = {
        **{name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}},
        **{f"RECORDER_{name}_PORT": str(port) for name, port in ports.items()},
        "RECORDER": str(ROOT),
        "RECORDER_SERVER": f"127.0.0.1:{ports['GRPC']}",
        # It is a long way already on a busy machine.
        "PIP_NO_COMPILE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "RECORDER_DISK_SOFT_PERCENT": "0",
        "RECORDER_DISK_HARD_PERCENT": "0",
    }
    script = "\n".join(["set -eu", *commands, "python record.py", "kill %1", "wait"])
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=INSTALL_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0, told
    file = (tmp_path / "call.wav").read_bytes()
    assert wav_channels(file).shape == (1, 48_000)
    assert told.split()[-2:] == ["48000", hashlib.sha256(file).hexdigest()]

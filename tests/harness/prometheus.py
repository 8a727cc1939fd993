"""A real Prometheus on loopback: Debian's package `prometheus`."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0


def require_prometheus() -> None:
    """Skip loudly where it is not installed; in CI that is an error."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        message = "prometheus is missing: apt-get install prometheus"
        if os.environ.get("CI"):
            raise RuntimeError(message)
        pytest.skip(message)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus.

    Attributes:
        url: Where it answers.
    """

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}{query}", timeout=10) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]


@contextlib.contextmanager
def running(directory: Path, target: str, rules: Sequence[Path]) -> Iterator[Prometheus]:
    """Scrape `target` (host:port) once a second and evaluate the rules as often."""
    require_prometheus()
    config = directory / "prometheus.json"
    config.write_text(json.dumps(configuration(target, rules)))
    port = _free_port()
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        _await_ready(prometheus, process, directory / "prometheus.log")
        yield prometheus
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def configuration(target: str, rules: Sequence[Path]) -> dict[str, Any]:
    """Return a configuration; JSON is YAML too."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": "recorder", "static_configs": [{"targets": [target]}]}],
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(prometheus: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with (
            contextlib.suppress(URLError, ConnectionError),
            urllib.request.urlopen(f"{prometheus.url}/-/ready") as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus is not ready after {_START_TIMEOUT_S} s: {log.read_text()}")

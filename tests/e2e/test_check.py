"""`recorder check` against a real server, as `helm test` and an operator run it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.harness.client import Client
from tests.harness.server import Server


def check(server: Server, directory: Path, *arguments: str, record_to: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recorder_service", "--server", f"127.0.0.1:{server.ports.grpc}", *arguments]
    return subprocess.run(
        [*command, "check", *(["--record-to", record_to] if record_to else [])],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_check_tells_that_what_was_sent_came_back(server: Server, client: Client, tmp_path: Path) -> None:
    """One line of JSON; neither the application nor a file of it is left."""
    ended = check(server, tmp_path, "--admin-token", server.admin_token)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["identical"], told["duration_ms"]) == (True, 2000)
    listed = subprocess.run(
        [sys.executable, "-m", "recorder_service", "--server", f"127.0.0.1:{server.ports.grpc}", "app", "list"],
        cwd=tmp_path,
        env={"RECORDER_ADMIN_TOKEN": server.admin_token, "RECORDER_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '"check ' not in listed.stdout


def test_check_with_a_wrong_token_fails(server: Server, tmp_path: Path) -> None:
    """The refusal is told with what to type."""
    ended = check(server, tmp_path, "--admin-token", "x" * 40)
    assert ended.returncode == 1
    assert "recorder:" in ended.stderr


def test_call_may_be_sent_to_another_address(server: Server, tmp_path: Path) -> None:
    """Where calls and everything else have pods of their own; here both are one."""
    arguments = ("--admin-token", server.admin_token)
    assert check(server, tmp_path, *arguments, record_to=f"127.0.0.1:{server.ports.grpc}").returncode == 0

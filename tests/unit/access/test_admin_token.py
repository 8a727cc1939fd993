import hashlib
import stat
import threading
from pathlib import Path

import pytest

from recorder_service.access.admin_token import AdminToken, load_or_create_admin_token
from recorder_service.errors import Reason, StartupError


def test_first_start_makes_a_private_file(tmp_path: Path) -> None:
    """The file has mode 0600, holds the token whose hash is returned, and nothing else is left behind."""
    path = tmp_path / "admin.token"
    made = load_or_create_admin_token(path)
    assert made.created
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.sha256 == hashlib.sha256(path.read_text().strip().encode()).digest()
    assert [entry.name for entry in tmp_path.iterdir()] == ["admin.token"]


def test_second_start_reads_the_same_token(tmp_path: Path) -> None:
    """A restart does not change the token."""
    made = load_or_create_admin_token(tmp_path / "admin.token")
    assert load_or_create_admin_token(tmp_path / "admin.token") == AdminToken(made.sha256, created=False)


def test_processes_that_start_together_share_one_token(tmp_path: Path) -> None:
    """One makes it, the others read it."""
    found: list[AdminToken] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        found.append(load_or_create_admin_token(tmp_path / "admin.token"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({token.sha256 for token in found}) == 1
    assert sum(token.created for token in found) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says how to mend it."""
    path = tmp_path / "admin.token"
    load_or_create_admin_token(path)
    path.chmod(mode)
    with pytest.raises(StartupError, match="chmod 600") as caught:
        load_or_create_admin_token(path)
    assert caught.value.reason is Reason.INVALID_CONFIGURATION


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40, b"x" * 2000, b"two words " * 4 + b"\nlines" * 8])
def test_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    """An emptied or foreign file is never taken for a token."""
    path = tmp_path / "admin.token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StartupError):
        load_or_create_admin_token(path)


def test_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    """The error tells what to change."""
    with pytest.raises(StartupError, match="cannot be used"):
        load_or_create_admin_token(tmp_path / "none" / "admin.token")

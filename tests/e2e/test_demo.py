"""The demonstration that the README promises, as a user runs it."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

KEYS = ["recording_uuid", "recording_url", "file", "format", "channels", "duration_ms", "size_bytes", "sha256"]
KEYS += ["webhook", "events"]


def test_demo_ends_with_one_json_line_about_a_checked_file(tmp_path: Path) -> None:
    """20 s of two voices in real time; the file is where the line says, with its size and hash."""
    ended = subprocess.run(
        [sys.executable, "-m", "recorder_service.cli.demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert list(told) == KEYS
    assert (told["duration_ms"], told["channels"], told["format"]) == (20_000, 2, "mp3")
    assert told["webhook"]["status"] == 200
    assert told["webhook"]["signature_verified"] is True
    data = (tmp_path / told["file"]).read_bytes()
    assert len(data) == told["size_bytes"]
    assert sha256(data).hexdigest() == told["sha256"]
    assert "RECORDING_COMPLETED" in told["events"]

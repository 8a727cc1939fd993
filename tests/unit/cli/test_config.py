"""`recorder config`."""

import json
import tomllib
from pathlib import Path

from tests.unit.cli.conftest import Recorder

SECRET = "hush" * 10


def test_settings_in_force_are_printed_as_toml_that_can_be_read_again(recorder: Recorder, tmp_path: Path) -> None:
    """The file's value, the defaults of the rest, and no secret."""
    (tmp_path / "recorder.toml").write_text(f'grpc_port = 7\nadmin_token = "{SECRET}"\ns3_read_back = false\n')
    ended = recorder("config", "--config", "recorder.toml")
    assert (ended.returncode, ended.stderr) == (0, "")
    values = tomllib.loads(ended.stdout)
    assert (values["grpc_port"], values["s3_read_back"], values["http_port"]) == (7, False, 8080)
    assert SECRET not in ended.stdout
    assert json.loads(recorder("config", "--config", "recorder.toml", "--json").stdout) == values


def test_wrong_file_ends_with_the_fix(recorder: Recorder, tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "recorder.toml").write_text("grp_port = 7\n")
    ended = recorder("config", "--config", "recorder.toml")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "did you mean `grpc_port`?" in ended.stderr

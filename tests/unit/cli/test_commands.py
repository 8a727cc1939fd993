"""The command line as a user meets it: exit codes, errors that say what to type next, files it writes."""

import json
import wave
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.unit.cli.conftest import Recorder

NOBODY = "127.0.0.1:1"
APPLICATION = "2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    key = rsa.generate_private_key(65_537, 2048)
    path = tmp_path / "private.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def leg(path: Path, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(3200))
    return path


@pytest.mark.parametrize(
    "command", ["", "app", "app rotate", "recordings", "webhooks", "record", "check", "events", "serve", "token"]
)
def test_every_command_has_help(recorder: Recorder, command: str) -> None:
    """--help works everywhere and needs no server."""
    answer = recorder(*command.split(), "--help")
    assert answer.returncode == 0
    assert "Usage: recorder" in answer.stdout


def test_server_that_is_away_is_one_line_with_what_to_type(recorder: Recorder) -> None:
    """Exit code 1, nothing on stdout, one line on stderr that names `recorder serve`."""
    answer = recorder("recordings", "list", "--server", NOBODY, "--token", "x")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert len(answer.stderr.splitlines()) == 1
    assert "start it with `recorder serve`" in answer.stderr


def test_error_is_an_object_with_json(recorder: Recorder) -> None:
    """With --json stderr is one JSON object with reason, message, hint and whether a retry helps."""
    answer = recorder("recordings", "list", "--server", NOBODY, "--token", "x", "--json")
    error = json.loads(answer.stderr)["error"]
    assert (answer.returncode, error["reason"], error["retryable"]) == (1, "UNAVAILABLE", True)
    assert error["message"]
    assert error["hint"]


def test_missing_token_says_which_options_give_one(recorder: Recorder) -> None:
    """Without any token the command ends before it asks the server."""
    answer = recorder("recordings", "list", "--server", NOBODY)
    assert answer.returncode == 1
    assert "give --token TOKEN" in answer.stderr


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["record"], ["app", "create"], ["recordings", "list", "--limit", "x"]]
)
def test_wrong_usage_ends_with_2(recorder: Recorder, arguments: list[str]) -> None:
    """A command line that cannot work is told from a request that failed, as text and as JSON."""
    assert recorder(*arguments).returncode == 2
    answer = recorder(*arguments, "--json")
    assert answer.returncode == 2
    assert json.loads(answer.stderr)["error"]["reason"] == "USAGE"


def test_existing_key_file_is_not_overwritten(recorder: Recorder, key_file: Path) -> None:
    """The file stays as it was and the server is not asked."""
    before = key_file.read_bytes()
    answer = recorder("app", "create", "--name", "x", "--key-out", key_file, "--server", NOBODY, "--admin-token", "x")
    assert answer.returncode == 2
    assert "is not overwritten" in answer.stderr
    assert key_file.read_bytes() == before


def test_key_file_is_removed_when_no_application_was_made(recorder: Recorder, tmp_path: Path) -> None:
    """A failed `app create` leaves nothing behind."""
    path = tmp_path / "new.pem"
    answer = recorder("app", "create", "--name", "x", "--key-out", path, "--server", NOBODY, "--admin-token", "x")
    assert answer.returncode == 1
    assert not path.exists()


def test_token_has_the_claims_of_its_application(recorder: Recorder, key_file: Path) -> None:
    """The token stands alone on stdout, so that a shell can take it; ttl and paths are in it."""
    arguments = ("token", "--application", APPLICATION, "--key", key_file, "--ttl", 60, "--acl", "/*/files/**")
    answer = recorder(*arguments)
    claims = jwt.decode(answer.stdout.strip(), options={"verify_signature": False})
    assert claims["application_id"] == APPLICATION
    assert claims["exp"] - claims["iat"] == 60
    assert claims["acl"] == {"paths": {"/*/files/**": {}}}
    assert json.loads(recorder(*arguments, "--json").stdout).keys() == {"token"}


def test_token_needs_an_application_and_a_readable_key(recorder: Recorder, key_file: Path) -> None:
    """What is missing is named with the option that gives it."""
    assert "add --application ID" in recorder("token", "--key", key_file).stderr
    assert "add --key FILE" in recorder("token", "--application", APPLICATION).stderr
    assert "cannot read nothing.pem" in recorder("token", "--application", APPLICATION, "--key", "nothing.pem").stderr


def test_stereo_leg_is_refused_with_what_to_do(recorder: Recorder, tmp_path: Path) -> None:
    """The message holds the command that splits the file."""
    answer = recorder("record", "--caller", leg(tmp_path / "both.wav", channels=2), "--token", "x")
    assert answer.returncode == 2
    assert "has 2 channels" in answer.stderr
    assert "ffmpeg -i" in answer.stderr


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("--dtmf", "12.5", "--dtmf 12.5:#"),
        ("--dtmf", "1:x", "a key of 0-9"),
        ("--speed", "fast", "realtime, max, or a factor"),
        ("--speed", "-1", "realtime, max, or a factor"),
        ("--encoding", "opus", "linear16, mulaw, alaw"),
        ("--metadata", "novalue", "KEY=VALUE"),
        ("--ncco", "{", "--ncco is not JSON"),
        ("--ncco", "[]", "holds no record action"),
        ("--ncco", "@nothing.json", "cannot read nothing.json"),
    ],
)
def test_wrong_option_of_record_says_how_it_is_written(
    recorder: Recorder, tmp_path: Path, option: str, value: str, advice: str
) -> None:
    """Nothing is sent, and one line says what would be right."""
    answer = recorder("record", "--caller", leg(tmp_path / "a.wav"), "--server", NOBODY, "--token", "x", option, value)
    assert answer.returncode == 2
    assert advice in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_wrong_setting_of_serve_names_its_variable(recorder: Recorder) -> None:
    """A setting that cannot be used ends `serve` with exit code 1 and its environment name."""
    answer = recorder("serve", "--host", "0.0.0.0", "--data-dir", "d", "--grpc-port", 0, "--http-port", 0)
    assert answer.returncode == 1
    assert "beyond loopback" in answer.stderr

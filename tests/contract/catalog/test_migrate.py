"""The command that migrates, on both databases."""

import json
import os
import subprocess
import sys

import pytest


def migrate(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `recorder migrate` as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "recorder_service", "migrate", *arguments],
        env={**os.environ, "RECORDER_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_check_says_what_is_due_and_changes_nothing(empty_url: str) -> None:
    """Before, --check ends with 1; then the migration is made once; then --check ends with 0."""
    due = migrate(empty_url, "--check", "--json")
    assert (due.returncode, json.loads(due.stdout)["schema_version"]) == (1, None)
    made = migrate(empty_url, "--json")
    assert (made.returncode, json.loads(made.stdout)["migrated"]) == (0, True)
    for arguments in (("--check", "--json"), ("--json",)):
        again = migrate(empty_url, *arguments)
        told = json.loads(again.stdout)
        assert (again.returncode, told["migrated"], told["schema_version"]) == (0, False, told["known_version"])


@pytest.mark.parametrize("as_json", [True, False])
def test_wrong_url_is_told_in_one_line_without_the_password(as_json: bool) -> None:
    """Nothing of the URL's secret part comes out, on no channel."""
    done = migrate("postgresql://recorder:pa55word@127.0.0.1:1/recorder", *(["--json"] if as_json else []))
    assert done.returncode == 1
    assert "no PostgreSQL answers" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "pa55word" not in done.stdout + done.stderr

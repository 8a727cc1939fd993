"""The Go client, driven through what every client must be able to do."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.clients.conformance import (
    SCENARIOS,
    Bench,
    Scenario,
    check_five_kills,
    check_full_server,
    check_refusals,
    check_scenario,
    name_of,
)

_MODULE = Path(__file__).parents[2] / "clients" / "go"
_BUILD_TIMEOUT_S = 600


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """The driver, built with the race detector: what it finds stands on standard error, and is an unhandled error."""
    if shutil.which("go") is None:
        message = "go is missing: install Go 1.26 or newer"
        if os.environ.get("CI"):
            raise RuntimeError(message)
        pytest.skip(message)
    program = tmp_path_factory.mktemp("go") / "conformance"
    command = ["go", "build", "-race", "-o", str(program), "./internal/conformance"]
    subprocess.run(command, cwd=_MODULE, check=True, timeout=_BUILD_TIMEOUT_S)
    return [str(program)]


@pytest.mark.timeout(700)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_scenario_ends_with_the_reference_file(bench: Bench, driver: Sequence[str], scenario: Scenario) -> None:
    """Whatever happens on the way, the file is that of an undisturbed call."""
    check_scenario(bench, driver, scenario)


@pytest.mark.timeout(700)
def test_five_kills_in_a_call_leave_the_undisturbed_file(bench: Bench, driver: Sequence[str]) -> None:
    """The server is killed five times during a call of 60 s."""
    check_five_kills(bench, driver)


@pytest.mark.timeout(700)
def test_refusals_are_one_typed_error(bench: Bench, driver: Sequence[str]) -> None:
    """A wrong target and a wrong key say what is wrong, and whether to try again."""
    check_refusals(bench, driver)


@pytest.mark.timeout(700)
def test_full_server_is_one_typed_error(full_bench: Bench, driver: Sequence[str]) -> None:
    """A server without room says so."""
    check_full_server(full_bench, driver)

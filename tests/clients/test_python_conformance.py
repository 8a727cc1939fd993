"""The Python client, driven through what every client must be able to do."""

import sys
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

DRIVER = [sys.executable, str(Path(__file__).parent / "python_driver.py")]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_scenario_ends_with_the_reference_file(bench: Bench, scenario: Scenario) -> None:
    """Whatever happens on the way, the file is that of an undisturbed call."""
    check_scenario(bench, DRIVER, scenario)


@pytest.mark.timeout(300)
def test_five_kills_in_a_call_leave_the_undisturbed_file(bench: Bench) -> None:
    """The server is killed five times during a call of 60 s."""
    check_five_kills(bench, DRIVER)


def test_refusals_are_one_typed_error(bench: Bench) -> None:
    """A wrong target and a wrong key say what is wrong, and whether to try again."""
    check_refusals(bench, DRIVER)


def test_full_server_is_one_typed_error(full_bench: Bench) -> None:
    """A server without room says so."""
    check_full_server(full_bench, DRIVER)

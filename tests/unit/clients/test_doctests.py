"""The examples in the client's docstrings are what happens."""

import doctest
import importlib
import pkgutil

import pytest

import recorder

MODULES = [module.name for module in pkgutil.iter_modules(recorder.__path__, "recorder.") if not module.ispkg]
# Their own tests run them, with what they need.
ELSEWHERE = {"recorder.tokens", "recorder.webhooks"}


@pytest.mark.parametrize("name", sorted(set(MODULES) - ELSEWHERE))
def test_examples_of_module_hold(name: str) -> None:
    """None fails; modules without examples pass."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_examples_are_there() -> None:
    """The helpers that need no server show what they give."""
    assert doctest.testmod(importlib.import_module("recorder.ncco")).attempted >= 4

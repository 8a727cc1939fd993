"""Keys that every test of this room shares; making them takes a second."""

import pytest
from tests.unit.access.token_workshop import Workshop


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    return Workshop()

"""Whose things a caller may see and make."""

import uuid
from collections.abc import Callable

import pytest

from recorder_service.access.principal import ADMIN, Principal
from recorder_service.api.caller import caller, owner, require_admin, set_caller, tenant
from recorder_service.errors import BadInput, Forbidden, Reason

MINE, OTHER = uuid.uuid4(), uuid.uuid4()
APPLICATION = Principal(MINE)


async def test_admin_sees_all_or_what_is_asked_for() -> None:
    """None stands for everybody's."""
    set_caller(ADMIN)
    require_admin()
    assert tenant("", "f") is None
    assert tenant(str(OTHER), "f") == OTHER


async def test_application_sees_its_own_whether_it_says_so_or_not() -> None:
    """Another's needs the admin."""
    set_caller(APPLICATION)
    assert caller() is APPLICATION
    assert tenant("", "f") == tenant(str(MINE), "f") == MINE
    asks: tuple[Callable[[], object], ...] = (
        lambda: tenant(str(OTHER), "f"),
        require_admin,
        lambda: owner(OTHER, "f"),
    )
    for ask in asks:
        with pytest.raises(Forbidden) as refused:
            ask()
        assert refused.value.reason is Reason.ADMIN_ONLY


async def test_new_things_belong_to_the_application_or_to_the_one_the_admin_names() -> None:
    """The admin owns nothing."""
    set_caller(APPLICATION)
    assert owner(None, "f") == owner(MINE, "f") == MINE
    set_caller(ADMIN)
    assert owner(OTHER, "f") == OTHER
    with pytest.raises(BadInput) as refused:
        owner(None, "open.start.application_id")
    assert refused.value.details["field"] == "open.start.application_id"


@pytest.mark.parametrize("principal", [ADMIN, APPLICATION])
async def test_id_that_is_none_is_a_bad_field_for_everybody(principal: Principal) -> None:
    """Before it is compared."""
    set_caller(principal)
    with pytest.raises(BadInput) as refused:
        tenant("acme", "application_id")
    assert refused.value.details["field"] == "application_id"

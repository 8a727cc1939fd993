"""Who is calling, for as long as an RPC runs."""

from contextvars import ContextVar
from uuid import UUID

from recorder_service.access.principal import Principal
from recorder_service.api.requests import optional_uuid
from recorder_service.errors import BadInput, Forbidden, Reason

_caller: ContextVar[Principal] = ContextVar("caller")


def set_caller(principal: Principal) -> None:
    """Remember the caller of the RPC that runs in this task."""
    _caller.set(principal)


def caller() -> Principal:
    """Return the caller of the RPC that runs in this task."""
    return _caller.get()


def require_admin() -> None:
    """Refuse everybody but the admin.

    Raises:
        Forbidden: ADMIN_ONLY.
    """
    if not caller().admin:
        raise Forbidden(
            Reason.ADMIN_ONLY, "this needs the admin token, which `recorder serve` keeps in its data directory"
        )


def tenant(application_id: str, field: str) -> UUID | None:
    """Return whose things a list may show: the caller's own, or for the admin those asked for (None: everybody's).

    Raises:
        BadInput: INVALID_FIELD for something that is no UUID.
        Forbidden: ADMIN_ONLY, an application asked for another's things.
    """
    asked = optional_uuid(application_id, field)
    principal = caller()
    if principal.admin or asked is None:
        return asked if principal.admin else principal.application_id
    if asked != principal.application_id:
        raise Forbidden(Reason.ADMIN_ONLY, f"{field} may be left empty or be your own; another's needs the admin token")
    return asked


def owner(application_id: UUID | None, field: str) -> UUID:
    """Return which application something new belongs to.

    Raises:
        BadInput: INVALID_FIELD, the admin named none.
        Forbidden: ADMIN_ONLY, an application named another.
    """
    principal = caller()
    if principal.application_id is None:
        if application_id is None:
            message = f"{field} must name the application, since the admin token belongs to none"
            raise BadInput(Reason.INVALID_FIELD, message, field=field, value="")
        return application_id
    if application_id not in {None, principal.application_id}:
        raise Forbidden(Reason.ADMIN_ONLY, f"{field} may be left empty or be your own; another's needs the admin token")
    return principal.application_id

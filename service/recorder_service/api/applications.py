"""ApplicationService: managing tenants."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

from recorder.v1 import application_pb2, application_service_pb2_grpc
from recorder.v1 import application_service_pb2 as messages
from recorder_service.access.keys import (
    check_public_key,
    generate_key_pair,
    make_api_key,
    make_key_id,
    make_signature_secret,
)
from recorder_service.api.caller import caller, require_admin
from recorder_service.api.conversions import HTTP_METHODS, application_message
from recorder_service.api.requests import choice, timedelta_of, uuid
from recorder_service.catalog.paging import Page
from recorder_service.domain.application import (
    DEFAULT_RETENTION,
    MAX_RETENTION,
    MIN_RETENTION,
    Application,
    ApplicationKey,
)
from recorder_service.domain.options import HttpMethod, check_url
from recorder_service.errors import BadInput, NotFound, Reason

_MAX_NAME = 128
_DEFAULT_OVERLAP = timedelta(hours=24)
_MAX_OVERLAP = timedelta(days=30)
_METHODS = {int(wire): method for method, wire in HTTP_METHODS.items()}
_UPDATABLE = frozenset({"name", "event_url", "event_method", "retention", "max_live_recordings"})


class Catalog(Protocol):
    """The catalog's applications."""

    async def create(self, application: Application) -> None:
        """Keep a new application."""

    async def get(self, application_id: UUID) -> Application:
        """Return an application."""

    async def list(self, page_size: int, page_token: str) -> Page[Application]:
        """Return a page, by name."""

    async def update(self, application_id: UUID, change: Callable[[Application], Application]) -> Application:
        """Replace an application by what `change` makes of it."""


class Farewell(Protocol):
    """Removes an application with all it owns."""

    async def remove_application(self, application_id: UUID) -> None:
        """Remove files first, then rows."""


class ApplicationServicer(application_service_pb2_grpc.ApplicationServiceServicer):
    """Serves tenants to the admin, and an application itself."""

    def __init__(self, catalog: Catalog, farewell: Farewell, forget: Callable[[UUID], None]) -> None:
        """Serve from `catalog`; `forget` is told whose keys changed."""
        self._catalog = catalog
        self._farewell = farewell
        self._forget = forget

    async def CreateApplication(
        self, request: messages.CreateApplicationRequest, context: Any
    ) -> messages.CreateApplicationResponse:
        """Make an application with a key pair and a signature secret."""
        require_admin()
        now = datetime.now(UTC)
        key, private_key_pem = await _new_key(request.public_key_pem, now)
        blank = Application(
            application_id=uuid4(),
            name="",
            api_key=make_api_key(),
            signature_secret=make_signature_secret(),
            create_time=now,
            update_time=now,
            keys=(key,),
        )
        application = _changed(blank, request.application, _UPDATABLE)
        await self._catalog.create(application)
        return messages.CreateApplicationResponse(
            application=application_message(application),
            private_key_pem=private_key_pem,
            signature_secret=application.signature_secret,
        )

    async def GetApplication(
        self, request: messages.GetApplicationRequest, context: Any
    ) -> messages.GetApplicationResponse:
        """Return an application; to an application only itself."""
        application_id = _id(request.application_id)
        if caller().application_id not in {None, application_id}:
            # What another application may know of this one is that it knows nothing.
            raise NotFound(Reason.APPLICATION_NOT_FOUND, f"there is no application {application_id}")
        application = await self._catalog.get(application_id)
        return messages.GetApplicationResponse(application=application_message(application))

    async def ListApplications(
        self, request: messages.ListApplicationsRequest, context: Any
    ) -> messages.ListApplicationsResponse:
        """Return a page of applications."""
        require_admin()
        page = await self._catalog.list(request.page_size, request.page_token)
        applications = [application_message(application) for application in page.items]
        return messages.ListApplicationsResponse(applications=applications, next_page_token=page.next_page_token)

    async def UpdateApplication(
        self, request: messages.UpdateApplicationRequest, context: Any
    ) -> messages.UpdateApplicationResponse:
        """Change the fields of the mask."""
        require_admin()
        fields = frozenset(request.update_mask.paths)
        if not fields or not fields <= _UPDATABLE:
            names = ", ".join(sorted(_UPDATABLE))
            message = f"update_mask must name one or more of {names}"
            value = ", ".join(sorted(fields))
            raise BadInput(Reason.INVALID_FIELD, message, field="update_mask", value=value, allowed=names)
        application = await self._change(
            request.application.application_id, lambda stored: _changed(stored, request.application, fields)
        )
        return messages.UpdateApplicationResponse(application=application_message(application))

    async def DeleteApplication(
        self, request: messages.DeleteApplicationRequest, context: Any
    ) -> messages.DeleteApplicationResponse:
        """Remove an application and all it owns."""
        require_admin()
        application_id = _id(request.application_id)
        await self._farewell.remove_application(application_id)
        self._forget(application_id)
        return messages.DeleteApplicationResponse()

    async def RotateApplicationKey(
        self, request: messages.RotateApplicationKeyRequest, context: Any
    ) -> messages.RotateApplicationKeyResponse:
        """Add a key; the others stop being accepted after the overlap."""
        require_admin()
        overlap = timedelta_of(request.overlap, "overlap") if request.HasField("overlap") else _DEFAULT_OVERLAP
        if not timedelta(0) <= overlap <= _MAX_OVERLAP:
            message = f"overlap is {overlap} but must be 0 to {_MAX_OVERLAP.days} days"
            raise BadInput(Reason.INVALID_FIELD, message, field="overlap", value=overlap)
        now = datetime.now(UTC)
        key, private_key_pem = await _new_key(request.public_key_pem, now)
        application = await self._change(
            request.application_id, lambda stored: replace(stored, keys=_rotated(stored.keys, key, now, overlap))
        )
        return messages.RotateApplicationKeyResponse(
            application=application_message(application), private_key_pem=private_key_pem
        )

    async def RotateSignatureSecret(
        self, request: messages.RotateSignatureSecretRequest, context: Any
    ) -> messages.RotateSignatureSecretResponse:
        """Replace the secret that webhooks are signed with."""
        require_admin()
        secret = make_signature_secret()
        await self._change(request.application_id, lambda stored: replace(stored, signature_secret=secret))
        return messages.RotateSignatureSecretResponse(signature_secret=secret)

    async def _change(self, application_id: str, change: Callable[[Application], Application]) -> Application:
        identity, now = _id(application_id), datetime.now(UTC)
        application = await self._catalog.update(identity, lambda stored: replace(change(stored), update_time=now))
        self._forget(identity)
        return application


def _id(text: str) -> UUID:
    return uuid(text, "application_id")


async def _new_key(public_key_pem: str, now: datetime) -> tuple[ApplicationKey, str]:
    """Return the key to keep, and the private one to show if it was made here."""
    if public_key_pem:
        return ApplicationKey(make_key_id(), check_public_key(public_key_pem), now), ""
    pair = await generate_key_pair()
    return ApplicationKey(make_key_id(), pair.public_key_pem, now), pair.private_key_pem


def _rotated(
    keys: tuple[ApplicationKey, ...], new: ApplicationKey, now: datetime, overlap: timedelta
) -> tuple[ApplicationKey, ...]:
    """Put a new key first, let the others run out, and drop those that have."""
    end = now + overlap
    ending = (replace(key, expire_time=min(key.expire_time or end, end)) for key in keys)
    return (new, *(key for key in ending if key.expire_time is not None and key.expire_time > now))


def _changed(stored: Application, wanted: application_pb2.Application, fields: frozenset[str]) -> Application:
    """Return the application with the named fields as wanted, all checked."""
    new = stored
    if "name" in fields:
        new = replace(new, name=_name(wanted.name))
    if "event_url" in fields:
        new = replace(new, event_url=check_url(wanted.event_url, "event_url") if wanted.event_url else "")
    if "event_method" in fields:
        given = wanted.HasField("event_method")
        method = choice(wanted.event_method, _METHODS, "event_method") if given else HttpMethod.POST
        new = replace(new, event_method=method)
    if "retention" in fields:
        new = replace(new, retention=_retention(wanted))
    if "max_live_recordings" in fields:
        new = replace(new, max_live_recordings=wanted.max_live_recordings)
    return new


def _name(name: str) -> str:
    if not 1 <= len(name) <= _MAX_NAME or not name.isprintable():
        message = f"name must be 1 to {_MAX_NAME} printable characters"
        raise BadInput(Reason.INVALID_FIELD, message, field="name", value=name)
    return name


def _retention(wanted: application_pb2.Application) -> timedelta:
    if not wanted.HasField("retention"):
        return DEFAULT_RETENTION
    retention = timedelta_of(wanted.retention, "retention")
    if not MIN_RETENTION <= retention <= MAX_RETENTION:
        message = f"retention is {retention} but must be 1 hour to {MAX_RETENTION.days} days"
        raise BadInput(Reason.INVALID_FIELD, message, field="retention", value=retention)
    return retention

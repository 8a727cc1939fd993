"""`recorder app`: the tenants."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recorder_service.cli.failures import wrong_usage
from recorder_service.cli.output import Output, at
from recorder_service.cli.session import Session, run, session_of

if TYPE_CHECKING:
    from recorder.v1.application_pb2 import Application
    from recorder.v1.application_service_pb2 import (
        CreateApplicationResponse,
        RotateApplicationKeyResponse,
        RotateSignatureSecretResponse,
    )

app = typer.Typer(help="Make and manage applications; needs the admin token.", no_args_is_help=True)
rotate = typer.Typer(help="Replace an application's key or signature secret.", no_args_is_help=True)
app.add_typer(rotate, name="rotate")

_DAY_S = 86_400
_HOUR_S = 3_600
_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the application.")]
_KeyOut = Annotated[
    Path, typer.Option(help="File that the private key is written to, readable by you alone; must not exist yet.")
]


@app.command()
def create(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option(help="Name for people.")],
    key_out: _KeyOut,
    event_url: Annotated[str, typer.Option(help="Where record events go.")] = "",
    event_method: Annotated[str, typer.Option(help="POST or GET.")] = "POST",
    retention_days: Annotated[int | None, typer.Option(min=1, help="How long files are kept, days.")] = None,
    max_live_recordings: Annotated[int, typer.Option(min=0, help="Most recordings at once; 0: the default.")] = 0,
) -> None:
    """Make an application; its secrets are shown only now."""
    session = session_of(context)
    from recorder.v1.application_pb2 import Application
    from recorder.v1.recording_pb2 import HttpMethod
    from recorder_service.cli.message_json import enum_value

    method = enum_value(HttpMethod.DESCRIPTOR, event_method)
    if method is None:
        raise wrong_usage(f"--event-method is {event_method}", "give POST or GET")
    wanted = Application(
        name=name,
        event_url=event_url,
        event_method=HttpMethod.ValueType(method),
        max_live_recordings=max_live_recordings,
    )
    if retention_days is not None:
        wanted.retention.FromSeconds(retention_days * _DAY_S)
    with _new_key_file(key_out) as write_key:
        answer = run(_create(session, wanted))
        write_key(answer.private_key_pem)
    facts = {
        "application_id": answer.application.application_id,
        "api_key": answer.application.api_key,
        "signature_secret": answer.signature_secret,
        "key_file": str(key_out),
    }
    Output(as_json=session.json).message(answer.application, *facts.items())


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all applications."""
    session = session_of(context)
    columns = {"APPLICATION": at("application_id"), "NAME": at("name"), "EVENT URL": at("event_url")}
    Output(as_json=session.json).rows(run(_list(session)), columns)


@app.command()
def show(context: typer.Context, application_id: _Id) -> None:
    """Show one application."""
    session = session_of(context)
    Output(as_json=session.json).message(run(_get(session, application_id)))


@app.command()
def delete(context: typer.Context, application_id: _Id) -> None:
    """Delete an application with its recordings and events."""
    session = session_of(context)
    run(_delete(session, application_id))
    Output(as_json=session.json).text(f"deleted {application_id}", {"application_id": application_id, "deleted": True})


@rotate.command()
def key(
    context: typer.Context,
    application_id: _Id,
    *,
    key_out: _KeyOut,
    overlap_hours: Annotated[int | None, typer.Option(min=0, max=720, help="How long old keys stay good.")] = None,
) -> None:
    """Add a new key; the old ones stay good for 24 hours unless said otherwise."""
    session = session_of(context)
    with _new_key_file(key_out) as write_key:
        answer = run(_rotate_key(session, application_id, overlap_hours))
        write_key(answer.private_key_pem)
    Output(as_json=session.json).message(answer.application, ("key_file", str(key_out)))


@rotate.command()
def secret(context: typer.Context, application_id: _Id) -> None:
    """Replace the secret that webhooks are signed with, at once."""
    session = session_of(context)
    answer = run(_rotate_secret(session, application_id))
    value = {"application_id": application_id, "signature_secret": answer.signature_secret}
    Output(as_json=session.json).value(value)


async def _create(session: Session, wanted: "Application") -> "CreateApplicationResponse":
    from recorder.v1.application_service_pb2 import CreateApplicationRequest

    async with session.connect(as_admin=True) as client:
        request = CreateApplicationRequest(application=wanted)
        return await client.unary(client.applications.CreateApplication, request)


async def _list(session: Session) -> "list[Application]":
    return [application async for application in _pages(session)]


async def _pages(session: Session) -> "AsyncIterator[Application]":
    from recorder.v1.application_service_pb2 import ListApplicationsRequest

    request = ListApplicationsRequest(page_size=500)
    async with session.connect(as_admin=True) as client:
        while True:
            page = await client.unary(client.applications.ListApplications, request)
            for application in page.applications:
                yield application
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


async def _get(session: Session, application_id: str) -> "Application":
    from recorder.v1.application_service_pb2 import GetApplicationRequest

    # An application may look at itself.
    as_admin = session.token is None and session.key_file is None
    async with session.connect(as_admin=as_admin) as client:
        request = GetApplicationRequest(application_id=application_id)
        return (await client.unary(client.applications.GetApplication, request)).application


async def _delete(session: Session, application_id: str) -> None:
    from recorder.v1.application_service_pb2 import DeleteApplicationRequest

    async with session.connect(as_admin=True) as client:
        request = DeleteApplicationRequest(application_id=application_id)
        await client.unary(client.applications.DeleteApplication, request)


async def _rotate_key(
    session: Session, application_id: str, overlap_hours: int | None
) -> "RotateApplicationKeyResponse":
    from recorder.v1.application_service_pb2 import RotateApplicationKeyRequest

    request = RotateApplicationKeyRequest(application_id=application_id)
    if overlap_hours is not None:
        request.overlap.FromSeconds(overlap_hours * _HOUR_S)
    async with session.connect(as_admin=True) as client:
        return await client.unary(client.applications.RotateApplicationKey, request)


async def _rotate_secret(session: Session, application_id: str) -> "RotateSignatureSecretResponse":
    from recorder.v1.application_service_pb2 import RotateSignatureSecretRequest

    async with session.connect(as_admin=True) as client:
        request = RotateSignatureSecretRequest(application_id=application_id)
        return await client.unary(client.applications.RotateSignatureSecret, request)


class _KeyFile:
    """A private key's file that exists already, empty and readable by its owner alone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, pem: str) -> None:
        """Write the key and make it durable: it is shown only once."""
        with os.fdopen(self._descriptor, "w", closefd=False) as file:
            file.write(pem)
            file.flush()
            os.fsync(self._descriptor)


@contextmanager
def _new_key_file(path: Path) -> Iterator[_KeyFile]:
    """Make the file before the key is asked for, so that no key is lost to a wrong path; remove it on failure."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise wrong_usage(f"{path} exists and is not overwritten", "give another file with --key-out") from None
    except OSError as error:
        raise wrong_usage(f"cannot write {path}: {error.strerror}", "give another file with --key-out") from None
    try:
        yield _KeyFile(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)

"""The commands put together, and the options that all of them share."""

from pathlib import Path
from typing import Annotated

import typer

from recorder_service.cli import (
    applications,
    check,
    config,
    events,
    migrate,
    record,
    recordings,
    recover,
    serve,
    token,
    webhooks,
)
from recorder_service.cli.session import Session

app = typer.Typer(
    help="Record calls. The global options may stand before or after the command.",
    no_args_is_help=True,
    add_completion=False,
    # Plain help needs no rich: it comes in half the time.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("migrate")(migrate.migrate)
app.command("recover")(recover.recover)
app.command("config")(config.config)
app.add_typer(applications.app, name="app")
app.command("token")(token.token)
app.command("record")(record.record)
app.command("check")(check.check)
app.command("events")(events.events)
app.add_typer(recordings.app, name="recordings")
app.add_typer(webhooks.app, name="webhooks")


@app.callback()
def options(
    context: typer.Context,
    *,
    server: Annotated[str, typer.Option(envvar="RECORDER_SERVER", help="HOST:PORT of the server's gRPC port.")] = (
        "127.0.0.1:50051"
    ),
    http: Annotated[
        str | None,
        typer.Option(help="Download over HTTP from this base URL, as http://127.0.0.1:8080, instead of over gRPC."),
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="RECORDER_TOKEN", help="Token of the application.")] = None,
    application: Annotated[str | None, typer.Option(help="Id of the application to act for.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key; tokens are made from it as needed.")] = None,
    admin_token: Annotated[str | None, typer.Option(envvar="RECORDER_ADMIN_TOKEN", help="The admin token.")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="RECORDER_DATA_DIR",
            help="The server's data directory, on its own machine: the admin token is read there. By default ./data.",
        ),
    ] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="CA certificates of the server, PEM; turns TLS on.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Own certificate for mutual TLS, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one value a line; errors too.")] = False,
) -> None:
    """Keep the global options for the command."""
    context.obj = Session(
        server=server,
        http=http,
        token=token,
        application_id=application,
        key_file=key,
        admin_token=admin_token,
        data_dir=data_dir,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
        json=json,
    )

"""`recorder token`: make a token without asking the server."""

from typing import Annotated

import typer

from recorder_service.cli.failures import wrong_usage
from recorder_service.cli.output import print_json
from recorder_service.cli.session import read_key, session_of


def token(
    context: typer.Context,
    *,
    ttl: Annotated[int, typer.Option(min=30, max=86_400, help="How long it is good, s.")] = 900,
    acl: Annotated[
        list[str] | None, typer.Option(help="Path it is good for, as '/*/files/**'; may be repeated. Default: all.")
    ] = None,
) -> None:
    """Make a token of the application given by --application and --key."""
    session = session_of(context)
    key = read_key(session.key_file)
    if session.application_id is None:
        raise wrong_usage("no application was given", "add --application ID, as shown by `recorder app create`")
    from recorder.tokens import application_token

    paths: dict[str, object] | None = {"paths": {path: {} for path in acl}} if acl else None
    try:
        made = application_token(session.application_id, key, ttl_s=ttl, acl=paths)
    except ValueError as error:
        raise wrong_usage(f"no token could be made with {session.key_file}: {error}") from None
    # Plain even where stdout is no terminal: TOKEN=$(recorder token ...) is what it is for.
    if session.json:
        print_json({"token": made})
    else:
        typer.echo(made)

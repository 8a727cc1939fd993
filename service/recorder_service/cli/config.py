"""`recorder config`: which settings are in force."""

import json
from pathlib import Path
from typing import Annotated

import typer

from recorder_service.cli.failures import CommandFailed
from recorder_service.cli.session import session_of


def config(
    context: typer.Context,
    *,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings, as for `recorder serve`.")] = None,
) -> None:
    """Print the settings that `recorder serve` would run with here, as TOML; secrets are masked.

    Variables (RECORDER_...) win over the file, as they do for `recorder serve`.
    """
    from recorder_service.config import load_settings, shown
    from recorder_service.errors import RecorderError

    session = session_of(context)
    try:
        values = shown(load_settings(config=config, data_dir=session.data_dir))
    except RecorderError as error:
        raise CommandFailed(error.message, reason=error.reason.value, metadata=error.details) from None
    if session.json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        # JSON's texts, numbers, lists and words for true and false are TOML's.
        typer.echo(f"{name} = {json.dumps(value)}")

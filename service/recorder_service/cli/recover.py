"""`recorder recover`: finish the recordings of a journal whose node is gone."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recorder_service.cli.failures import CommandFailed
from recorder_service.cli.session import session_of

if TYPE_CHECKING:
    from recorder_service.bootstrap import Rescued
    from recorder_service.config import Settings


def recover(
    context: typer.Context,
    *,
    journal: Annotated[
        Path, typer.Option(help="Directory of the node that is gone: it holds `node-id`, `journal` and `spool`.")
    ],
    config: Annotated[Path | None, typer.Option(help="TOML file with settings, as for `recorder serve`.")] = None,
) -> None:
    """Finish what a node left unfinished when it cannot be started again.

    Give the settings that the node had: --data-dir or RECORDER_DATABASE_URL, RECORDER_S3_ENDPOINT and so on. Refused
    while the node may live. May be stopped at any time and started again.
    """
    from recorder_service.config import load_settings
    from recorder_service.errors import RecorderError

    session = session_of(context)
    try:
        settings = load_settings(config=config, data_dir=session.data_dir, node_dir=_node_dir(journal))
        rescued = _run(settings, quiet=session.json)
    except RecorderError as error:
        raise CommandFailed(error.message, reason=error.reason.value, metadata=error.details, hint="") from None
    states = {str(recording.recording_id): recording.state.value for recording in rescued.recordings}
    if session.json:
        typer.echo(json.dumps({"node_id": rescued.node_id, "recordings": states}))
    else:
        for recording_id, state in states.items():
            typer.echo(f"{recording_id}  {state}")
        typer.echo(f"{len(states)} recordings of node {rescued.node_id}, {len(rescued.unfinished)} left unfinished")
    if rescued.unfinished:
        message = f"{len(rescued.unfinished)} recordings could not be finished; their audio is still in the journal"
        raise CommandFailed(message, hint="see the log above, then run this again")


def _node_dir(journal: Path) -> Path:
    """Return the node's directory, also where that of its segments was named."""
    return journal.parent if (journal / "lock").is_file() and not (journal / "node-id").exists() else journal


def _run(settings: "Settings", *, quiet: bool) -> "Rescued":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from recorder_service.bootstrap import recover as finish

    columns = (TextColumn("recordings"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("recordings", total=None)
        return finish(settings, lambda count, left: bar.update(task, total=count, completed=count - left))

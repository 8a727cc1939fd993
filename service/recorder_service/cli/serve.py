"""`recorder serve`: run a node, or several behind one port."""

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

from recorder_service.cli.failures import CommandFailed
from recorder_service.cli.session import session_of

_GC_THRESHOLDS = (50_000, 50, 100)


def serve(
    context: typer.Context,
    *,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings; options and variables win.")] = None,
    role: Annotated[str | None, typer.Option(help="all, ingest, http or dispatcher.")] = None,
    workers: Annotated[int | None, typer.Option(help="Nodes to run as processes behind one port.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where journal, spool, catalog and files live.")] = None,
    node_dir: Annotated[Path | None, typer.Option(help="Where this node alone keeps journal and spool.")] = None,
    cluster_address: Annotated[
        str | None, typer.Option(help="HOST:PORT for requests that other nodes pass on.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="Port of gRPC; 0 picks a free one.")] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of downloads and health; 0 picks a free one.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of Prometheus metrics; 0 picks a free one.")] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="Database of the catalog, postgresql://user@host/database or sqlite:///file; a password is better "
            "given as RECORDER_DATABASE_URL, out of the list of processes."
        ),
    ] = None,
    migrate: Annotated[
        bool | None, typer.Option("--migrate/--no-migrate", help="Whether this start may migrate the catalog.")
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="Base of recording_url, as clients reach it.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM; turns TLS on.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="CA of client certificates: mutual TLS.")] = None,
    allow_plaintext: Annotated[
        bool | None,
        typer.Option("--allow-plaintext", help="Serve beyond loopback without TLS; something in front encrypts."),
    ] = None,
    max_live_recordings: Annotated[int | None, typer.Option(help="Most recordings that may run at once.")] = None,
    resume_window_s: Annotated[
        float | None, typer.Option(help="How long an interrupted recording waits to be resumed, s.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve until SIGTERM; prints one JSON line with the ports once it serves.

    Every setting can also be given as an environment variable, --grpc-port as RECORDER_GRPC_PORT, and in a file, as
    grpc_port. Options win over variables, and those over the file.
    """
    from recorder_service.errors import RecorderError

    # No matrices are multiplied here: NumPy, in the render processes too, need not start threads for that.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        # Importing makes no garbage. What it makes lives as long as the process: no collection need look at it again.
        gc.disable()
        from recorder_service.bootstrap import serve as serve_node
        from recorder_service.config import load_settings

        gc.freeze()
        # A message of audio leaves a handful of tuples that live for a second: that is no reason to search for garbage.
        gc.set_threshold(*_GC_THRESHOLDS)
        gc.enable()
        serve_node(
            load_settings(
                config=config,
                role=role,
                workers=workers,
                data_dir=data_dir or session_of(context).data_dir,
                node_dir=node_dir,
                cluster_address=cluster_address,
                host=host,
                grpc_port=grpc_port,
                http_port=http_port,
                metrics_port=metrics_port,
                database_url=database_url,
                migrate=migrate,
                public_url=public_url,
                tls_cert=tls_cert,
                tls_key=tls_key,
                tls_client_ca=tls_client_ca,
                allow_plaintext=allow_plaintext,
                max_live_recordings=max_live_recordings,
                resume_window_s=resume_window_s,
                log_level=log_level,
            )
        )
    except RecorderError as error:
        raise CommandFailed(error.message, reason=error.reason.value, metadata=error.details) from None

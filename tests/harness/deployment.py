"""Which deployment the end-to-end tests run against: by default one process, SQLite and a directory.

| variable | what a `Server` then uses unless a test says otherwise |
|---|---|
| RECORDER_TEST_CATALOG=postgresql | a database of its own on a real PostgreSQL server |
| RECORDER_TEST_STORE=minio | a bucket of its own on a real MinIO server |
| RECORDER_TEST_NODES=3 | so many nodes behind its ports, by `--workers` |

What cannot be tested there is skipped, each with its reason: `not_here`.
"""

import atexit
import contextlib
import functools
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness import minio, postgres
from tests.harness.s3_server import S3Server

_WHOSE_NODES_ARE_GIVEN = ("--workers", "--role")


def settings(data_dir: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server on this data directory, to which a test adds what is given."""
    return {**_rendering(), **_catalog(data_dir), **({} if "RECORDER_FILES_DIR" in given else store(data_dir.parent))}


def arguments(
    given: Sequence[str], module: Sequence[str], prefix: Sequence[str], environment: Mapping[str, str]
) -> list[str]:
    """Return what is added to the command line of a server; nothing where a test sets up the nodes or launches its own.

    Args:
        given: Its options.
        module: What runs as the server.
        prefix: The command that runs it.
        environment: What the test adds to its environment.
    """
    set_up = any(name in given for name in _WHOSE_NODES_ARE_GIVEN) or "RECORDER_CLUSTER_ADDRESS" in environment
    alone = set_up or prefix or module != ("recorder_service",)
    return [] if alone or nodes() == 1 else ["--workers", str(nodes())]


def nodes() -> int:
    """Return how many nodes stand behind the ports of a server."""
    return int(os.environ.get("RECORDER_TEST_NODES", "1"))


def named() -> str:
    """Name the deployment."""
    catalog, store = os.environ.get("RECORDER_TEST_CATALOG", "SQLite"), os.environ.get("RECORDER_TEST_STORE", "files")
    return f"{catalog} + {store}, {nodes()} node{'s' if nodes() > 1 else ''}"


def not_here(test: str) -> str | None:
    """Return why a test is skipped on this deployment; None where it runs.

    Args:
        test: Its id, as pytest writes it.
    """
    reasons = {
        **(_NEEDS_ONE_NODE if nodes() > 1 else {}),
        **(_NEEDS_A_DIRECTORY if os.environ.get("RECORDER_TEST_STORE") else {}),
    }
    return next((f"NOT ON {named()}: {reason}" for part, reason in reasons.items() if part in test), None)


# By a part of the test's id.
_READINESS = "the supervisor is ready as long as any of its nodes is; the node's own readiness is tested alone"
_PROCESS = "it looks into the process and the metrics of the one node that serves"
_LAYOUT = "it looks into the node's directory, which lies elsewhere for workers"
_NEEDS_ONE_NODE = {
    "test_health.py::test_full_node_turns_new_calls_away_and_nothing_else": _READINESS,
    "test_health.py::test_disk_past_its_soft_mark_is_not_ready_and_not_dead": _READINESS,
    "test_health.py::test_draining_node_is_alive_and_serves_no_more": _READINESS,
    "test_fuzz.py::test_streams_that_are_cut_off_anywhere_leave_nothing_behind": _PROCESS,
    "test_fuzz.py::test_server_is_as_it_was": _PROCESS,
    "test_restart.py::test_second_server_on_the_same_directory_refuses_to_start": _PROCESS,
    "test_restart.py::test_node_whose_render_process_is_killed": "a supervisor starts such a node again by itself",
    "test_overload.py::test_late_server_refuses_new_calls": "it slows down the process it started: no node there",
    "test_s3.py::test_call_is_kept_in_s3_and_downloaded_from_there": _LAYOUT,
    "test_pauses.py::test_audio_of_a_pause_is_on_no_disk": _LAYOUT,
}
_FILES = "it looks for the file in the store's directory; the store's own suite does so on every store"
_NEEDS_A_DIRECTORY = {
    "test_retention.py::test_deleted_file_is_gone_for_good": _FILES,
    "test_retention.py::test_expired_file_is_removed_and_told": _FILES,
    "test_retention.py::test_deleted_application_takes_its_files_along": _FILES,
}


def _rendering() -> dict[str, str]:
    """Return how many render processes there are where somebody says so."""
    count = os.environ.get("RECORDER_TEST_RENDER_PROCESSES")
    return {} if count is None else {"RECORDER_RENDER_PROCESSES": count}


def _catalog(data_dir: Path) -> dict[str, str]:
    if os.environ.get("RECORDER_TEST_CATALOG") != "postgresql":
        return {}
    return {"RECORDER_DATABASE_URL": postgres.database_of(data_dir), "RECORDER_MIGRATE": "true"}


def store(directory: Path) -> dict[str, str]:
    """Return where the servers in a directory keep files: those side by side may be nodes of one service."""
    if os.environ.get("RECORDER_TEST_STORE") != "minio":
        return {}
    server = _minio()
    return {
        "RECORDER_S3_ENDPOINT": server.url,
        "RECORDER_S3_BUCKET": _bucket_of(directory),
        "RECORDER_S3_ACCESS_KEY": server.access_key,
        "RECORDER_S3_SECRET_KEY": server.secret_key,
    }


@functools.cache
def _minio() -> S3Server:
    """Return a server that runs until this process ends, started when it is first asked for."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recorder-minio-")))
    return stack.enter_context(minio.running(directory))


@functools.cache
def _bucket_of(directory: Path) -> str:
    return f"test-{secrets.token_hex(8)}"

"""The rooms and who may know whom, held by reading every import."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import recorder_service

SOURCE = Path(recorder_service.__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)
BASE = frozenset({"errors"})
# Who may be imported by whom; a room that is missing here is a new one, and has to be given its place.
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "error_table": BASE,
    "domain": BASE,
    "audio": BASE,
    "journal": BASE,
    "storage": BASE,
    "persistence": BASE,
    "disk": BASE,
    "logs": frozenset(),
    # Settings of a store are values of their own.
    "config": BASE | {"domain", "storage", "config_file"},
    "config_file": BASE,
    "access": BASE | {"domain"},
    "catalog": BASE | {"domain"},
    # The journal's and the catalog's values are imported, never what does their work.
    "sessions": BASE | {"domain", "audio", "journal", "persistence"},
    "rendering": BASE | {"audio"},
    "finishing": BASE | {"domain", "audio", "sessions", "catalog", "persistence"},
    "api": BASE | {"domain", "audio", "sessions", "catalog", "access", "error_table"},
    "http": BASE | {"domain", "error_table"},
    "cluster": BASE | {"domain"},
    "webhooks": BASE | {"domain"},
    "probes": BASE | {"journal"},
    "metrics": BASE | {"http", "domain", "audio"},
    # A webhook's request and answer are values.
    "tracing": BASE | {"webhooks"},
    "bootstrap": frozenset({"*"}),
    "cli": BASE | {"bootstrap", "catalog_place", "config"},
    "catalog_place": BASE | {"catalog", "config"},
    "__main__": frozenset({"cli"}),
    "__init__": frozenset(),
}
# Modules of a room that hold values only: all that a neighbour's room may take from it.
VALUE_MODULES = {
    ("sessions", "journal"): {"replay"},
    ("finishing", "catalog"): {"filters", "paging"},
    ("api", "catalog"): {"filters", "paging", "events"},
}
FORBIDDEN_LIBRARIES = {
    "domain": {"grpc", "google", "recorder", "sqlalchemy", "numpy", "starlette", "structlog", "asyncio"},
    "audio": {"grpc", "google", "recorder", "sqlalchemy", "starlette", "asyncio", "socket", "structlog"},
    "journal": {"grpc", "google", "recorder", "sqlalchemy", "numpy", "starlette"},
    "sessions": {"grpc", "google", "recorder", "sqlalchemy", "starlette", "numpy"},
    # A render process has nothing to do with the world, and loads little.
    "rendering": {"grpc", "google", "recorder", "sqlalchemy", "starlette", "numpy", "structlog", "pydantic"},
    "finishing": {"grpc", "google", "recorder", "sqlalchemy", "starlette", "numpy"},
    "catalog": {"grpc", "google", "recorder", "starlette", "numpy"},
    "storage": {"grpc", "google", "recorder", "sqlalchemy", "starlette", "numpy"},
    "webhooks": {"grpc", "google", "recorder", "sqlalchemy", "starlette", "numpy"},
    "http": {"grpc", "google", "recorder", "sqlalchemy", "numpy"},
    "cluster": {"grpc", "google", "recorder", "sqlalchemy", "numpy", "starlette"},
    "api": {"sqlalchemy", "starlette", "numpy"},
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc", "base", "lib"}


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def _imports(path: Path) -> tuple[str, ...]:
    return tuple(_imported(ast.parse(path.read_text(), str(path))))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_imports_only_what_lies_further_in(path: Path) -> None:
    """Each room knows the rooms it stands on and no others; bootstrap alone wires."""
    room = _room(path)
    assert room in ALLOWED, f"{room} is a new room: give it its place in this test"
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] != "recorder_service" or parts[1] in {room, "__version__"}:
            continue
        assert "*" in ALLOWED[room] or parts[1] in ALLOWED[room], f"{room} must not import {name}"
        if values := VALUE_MODULES.get((room, parts[1])):
            assert parts[2] in values, f"{room} may take values from {parts[1]}, not {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_keeps_to_the_libraries_of_its_room(path: Path) -> None:
    """Messages of the contract stay in api, tables in catalog, samples in audio."""
    forbidden = FORBIDDEN_LIBRARIES.get(_room(path), set())
    assert not {name.split(".")[0] for name in _imports(path)} & forbidden


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_is_one_concept_with_a_name(path: Path) -> None:
    """At most 500 lines, a docstring of its own, and no name that says nothing."""
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    assert not set(path.relative_to(SOURCE).with_suffix("").parts) & VAGUE_NAMES
    assert ast.get_docstring(ast.parse(text))


def test_audio_knows_nobody_but_the_errors() -> None:
    """It can be used, and tested, alone."""
    names = {name for path in MODULES if _room(path) == "audio" for name in _imports(path)}
    inside = {name.split(".")[1] for name in names if name.startswith("recorder_service.")}
    assert inside <= {"audio", "errors"}


def test_only_the_entrance_and_the_command_line_import_bootstrap() -> None:
    """What wires everything is imported by nobody else."""
    importers = {_room(path) for path in MODULES for name in _imports(path) if "recorder_service.bootstrap" in name}
    assert importers <= {"cli", "__main__", "bootstrap"}

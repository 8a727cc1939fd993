"""Generate the Python stubs of the contract; with --check, fail when the committed ones are not up to date.

python proto/generate.py [--check]
"""

import argparse
import filecmp
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).parent
STUBS = PROTO.parent / "clients" / "python"
PACKAGE = Path("recorder/v1")


def generate(target: Path) -> None:
    """Write modules, types and services of every proto file below `target`."""
    sources = sorted(str(path.relative_to(PROTO)) for path in (PROTO / PACKAGE).glob("*.proto"))
    arguments = ["protoc", f"--proto_path={PROTO}", f"--proto_path={files('grpc_tools') / '_proto'}"]
    arguments += [f"--python_out={target}", f"--mypy_out=quiet:{target}"]
    services = [source for source in sources if source.endswith("_service.proto")]
    plugins = [
        f"--plugin={name}={Path(sys.executable).parent / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    if protoc.main([*arguments, *plugins, *sources]):
        raise SystemExit("protoc failed: its message stands above")
    if protoc.main(
        [*arguments[:3], *plugins, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *services]
    ):
        raise SystemExit("protoc failed: its message stands above")
    (target / PACKAGE / "__init__.py").write_text(
        '"""Generated from proto/recorder/v1 by proto/generate.py; not to be edited."""\n'
    )


def stale(expected: Path, found: Path) -> list[str]:
    """Name the generated files that differ, are missing, or have no source any more."""
    names = {path.name for folder in (expected, found) for path in folder.glob("*.py*") if path.is_file()}
    _, mismatch, errors = filecmp.cmpfiles(expected, found, sorted(names), shallow=False)
    return mismatch + errors


def main() -> None:
    """Parse the command line and do as it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    if not parser.parse_args().check:
        generate(STUBS)
        return
    with tempfile.TemporaryDirectory() as fresh:
        (Path(fresh) / PACKAGE).mkdir(parents=True)
        generate(Path(fresh))
        if names := stale(Path(fresh) / PACKAGE, STUBS / PACKAGE):
            raise SystemExit(f"stubs are not up to date: {', '.join(names)}; run `make proto`")


if __name__ == "__main__":
    main()

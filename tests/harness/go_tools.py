"""Tools in Go that the tests of container and chart use: `python -m tests.harness.go_tools` builds them, in minutes.

They are kept outside the checkout: Helm as its project releases it, and `manifests` from the folder of that name, which
loads and decodes files with the code of the projects that read them.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HELM_VERSION = "v3.22.0"
_HELM = "helm.sh/helm/v3/cmd/helm"
_KUBERNETES_MINOR = 37
_MANIFESTS = Path(__file__).parent / "manifests"
_BUILD_TIMEOUT_S = 1800


def helm() -> Path:
    """Return the path of Helm.

    Raises:
        FileNotFoundError: It was not built.
    """
    return _built(_helm_path())


def manifests() -> Path:
    """Return the path of the loader and decoder.

    Raises:
        FileNotFoundError: It was not built as it is now.
    """
    return _built(_manifests_path())


def build() -> list[Path]:
    """Build what is not there, and return the paths."""
    return [
        _build(_helm_path(), ["install", *_FLAGS[:1], f"{_FLAGS[1]} {_STAMPS}", f"{_HELM}@{HELM_VERSION}"], Path.cwd()),
        _build(_manifests_path(), ["install", *_FLAGS, "."], _MANIFESTS),
    ]


_FLAGS = ("-trimpath", "-ldflags=-s -w")
# As Helm's own Makefile stamps its releases; without them it takes every cluster that it cannot ask for version 1.20.
_STAMPS = " ".join(
    f"-X helm.sh/helm/v3/{package}.k8sVersion{part}"
    for package in ("pkg/chartutil", "pkg/lint/rules")
    for part in ("Major=1", f"Minor={_KUBERNETES_MINOR}")
)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recorder-tests"


def _helm_path() -> Path:
    return _cache() / f"helm-{HELM_VERSION}-kubernetes-1.{_KUBERNETES_MINOR}" / "helm"


def _manifests_path() -> Path:
    source = hashlib.sha256(b"".join((_MANIFESTS / name).read_bytes() for name in ("main.go", "go.mod", "go.sum")))
    return _cache() / f"manifests-{source.hexdigest()[:16]}" / "manifests"


def _built(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: build it with `python -m tests.harness.go_tools` (needs Go)")
    return path


def _build(path: Path, arguments: list[str], directory: Path) -> Path:
    with contextlib.suppress(FileNotFoundError):
        return _built(path)
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError("building Helm needs Go 1.25 or later in PATH")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Moved into its place when it is whole: an interrupted build leaves nothing that looks like a tool.
    with tempfile.TemporaryDirectory(dir=path.parent) as part:
        subprocess.run(
            [go, *arguments],
            check=True,
            cwd=directory,
            env={**os.environ, "GOBIN": part, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
            timeout=_BUILD_TIMEOUT_S,
        )
        (Path(part) / path.name).rename(path)
    return path


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in build())

"""The Dockerfile, without an engine: linted, and its steps run in a clean root.

What runs here is every RUN of the first stage as it stands, on the files that .dockerignore lets through, as a user
that may not write to them; then, from the environment it made and nothing else, ENTRYPOINT and CMD as user 10001 on a
read-only root, with HEALTHCHECK, and a call. What does not run: the base images, the RUN of the second stage (it takes
pip away and makes the user), and an engine's own work.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.clean_root import UID, CleanRoot, available
from tests.harness.dockerfile import Instruction, Stage, context, stages
from tests.helm.conftest import ROOT

DOCKERFILE = ROOT / "Dockerfile"
BUILD, IMAGE = stages(DOCKERFILE.read_text())
pytestmark = pytest.mark.timeout(900)


def test_hadolint_has_nothing_to_say() -> None:
    """Every rule, and no exception."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_image_runs_as_nobody_in_particular() -> None:
    """A fixed user that Kubernetes can see is not root, stopped as the service wants it, with its ports told."""
    assert IMAGE.all("USER") == [Instruction("USER", f"{UID}:{UID}")]
    assert IMAGE.all("STOPSIGNAL") == [Instruction("STOPSIGNAL", "SIGTERM")]
    assert IMAGE.all("EXPOSE")[0].arguments == ["50051", "8080", "9464"]
    assert IMAGE.all("VOLUME")[0].rest == "/data"
    assert all(base.count(":") == 1 and "latest" not in base for base in (BUILD.base, IMAGE.base))


def test_context_holds_what_the_image_is_made_of_and_no_more() -> None:
    """No tests, no keys, no data of a local server."""
    files = ["service/recorder_service/cli/serve.py", "clients/python/recorder/py.typed", "pyproject.toml", "LICENSE"]
    files += ["requirements/runtime.lock", "README.md"]
    others = ["data/admin-token", ".env", "tests/unit/test_config.py", "requirements/dev.lock", "clients/go/go.mod"]
    others += ["service/recorder_service/__pycache__/x.pyc", "compose.yaml", ".git/config"]
    assert context(ROOT, files + others) == files


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the root that the first stage leaves behind."""
    if not available():
        pytest.skip("IMAGE NOT TRIED: making namespaces needs root, unshare and ip")
    directory = tmp_path_factory.mktemp("root")
    directory.chmod(0o755)
    for path in ("tools", "wheels", "opt", "tmp"):
        (directory / path).mkdir()
        os.chown(directory / path, UID, UID)
    _copy(directory)
    # A compiler that is asked for would fail the build: the image has none.
    environment = {
        "CC": "/nonexistent",
        "CXX": "/nonexistent",
        "HOME": "/tmp",
        "PATH": f"{sys.base_prefix}/bin:/usr/bin",
    }
    # Where this machine has its packages from is the machine's own affair.
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT_"))}
    environment |= BUILD.environment
    root = CleanRoot(directory, tools=True, network=True)
    for one in BUILD.all("RUN"):
        done = root.run(one.rest, environment, BUILD.all("WORKDIR")[0].rest, timeout_s=800)
        assert done.returncode == 0, f"{one.rest}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    yield directory
    shutil.rmtree(directory)


def _copy(directory: Path) -> None:
    """Do what the COPY instructions do, with files that their reader cannot change."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    allowed = context(ROOT, [path for path in tracked if (ROOT / path).is_file()])
    work = directory / BUILD.all("WORKDIR")[0].rest.removeprefix("/")
    for *sources, target in (one.arguments for one in BUILD.all("COPY")):
        for source in sources:
            taken = [path for path in allowed if path == source or path.startswith(f"{source}/")]
            assert taken, f"COPY {source} finds nothing"
            for path in taken:
                to = work / target / path if target == "./" else work / (target + path.removeprefix(source))
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, to)


def _runtime(built: Path, tmp_path: Path) -> CleanRoot:
    """Make the second stage's root: what it copies from the first, and no program but Python's."""
    directory = tmp_path / "root"
    directory.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    (copied,) = IMAGE.all("COPY")
    flag, source, target = copied.arguments
    assert flag == f"--from={BUILD.name}"
    shutil.copytree(f"{built}{source}", f"{directory}{target}", symlinks=True)
    return CleanRoot(directory, tools=False, network=False, writable=("/data", "/tmp"))


def _environment(stage: Stage, **more: str) -> dict[str, str]:
    path = stage.environment["PATH"].replace("$PATH", f"{sys.base_prefix}/bin:/bin")
    return {**stage.environment, "HOME": "/tmp", "PATH": path, **more}


def test_steps_of_the_image_give_a_server_that_records(built: Path, tmp_path: Path) -> None:
    """Read-only root, user 10001, no compiler, no pip: it serves, is healthy, records a call and stops in order."""
    root = _runtime(built, tmp_path)
    command = shlex.join([*IMAGE.all("ENTRYPOINT")[0].arguments, *IMAGE.all("CMD")[0].arguments])
    healthy = shlex.join(json.loads(IMAGE.all("HEALTHCHECK")[0].rest.partition(" CMD ")[2]))
    script = f"""
        {command} >/tmp/serve.log 2>&1 & server=$!
        for _ in $(python -c 'print(*range(300))'); do
            {healthy} 2>/dev/null && break
            kill -0 $server 2>/dev/null || {{ python -c 'print(open("/tmp/serve.log").read())'; exit 1; }}
            sleep 0.2
        done
        {healthy}
        recorder --data-dir /data check
        kill -TERM $server
        wait $server
        python -c 'import importlib.util as u; assert u.find_spec("hatchling") is None and u.find_spec("pip") is None'
        (: >/opt/recorder/x) 2>/dev/null && exit 9
        for tool in cc gcc g++ make; do command -v $tool && exit 8; done
        python -c 'import os; print(os.getuid())'
    """
    done = root.run(script, _environment(IMAGE, RECORDER_ALLOW_PLAINTEXT="true"), IMAGE.all("WORKDIR")[0].rest, 300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    *_, checked, user = done.stdout.splitlines()
    assert json.loads(checked)["identical"] is True
    assert user == str(UID)


def test_image_that_is_told_nothing_refuses_to_speak_plain_text(built: Path, tmp_path: Path) -> None:
    """And says what to give."""
    done = _runtime(built, tmp_path).run("recorder serve", _environment(IMAGE), "/data", 60)
    assert done.returncode == 1
    assert "RECORDER_ALLOW_PLAINTEXT=true" in done.stderr

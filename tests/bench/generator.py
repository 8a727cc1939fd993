"""The load generator: a Go program in a process of its own, because it shares the cores with what is measured."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.bench.load import Load
from tests.bench.messages import Files
from tests.bench.traffic import Traffic

_SOURCE = Path(__file__).parent / "loadgen"
_BUILT = Path(__file__).parents[2] / ".cache" / "bench" / "loadgen"
_BUILD_TIMEOUT_S = 300.0
_OVERTIME_S = 10.0
_SERVICE = "/recorder.v1.RecorderService/"


class GeneratorMissing(Exception):
    """The generator cannot be built on this machine; says what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send; the generator's own field names.

    Attributes:
        interval_ms: Between two messages of a call; 0 sends as fast as the server takes them.
        spacing_ms: Between the beginnings of two calls.
        connections: HTTP/2 connections that the calls share.
        ack_field: Number of the response's field; the same for the other two.
    """

    target: str
    metadata: dict[str, str]
    openings: str
    scripts: list[str]
    interval_ms: float
    spacing_ms: float
    timeout_s: float
    connections: int = 4
    method: str = f"{_SERVICE}RecordCall"
    ack_field: int = 2
    stopped_field: int = 4
    completed_field: int = 5

    @classmethod
    def of(cls, target: str, metadata: Mapping[str, str], files: Files, load: Load) -> "Plan":
        """Plan to send a load's files."""
        plan = cls(
            target=target,
            metadata=dict(metadata),
            openings=str(files.openings),
            scripts=[str(path) for path in files.scripts],
            interval_ms=load.interval_ms,
            spacing_ms=load.spacing_ms / load.form.streams,
            timeout_s=load.timeout_s,
        )
        if not load.form.conference:
            return plan
        return replace(plan, method=f"{_SERVICE}RecordConference", stopped_field=5, completed_field=6)


def build() -> Path:
    """Build the generator, which takes no time where nothing has changed.

    Raises:
        GeneratorMissing: There is no Go, or it cannot build.
    """
    if shutil.which("go") is None:
        raise GeneratorMissing("the load generator needs Go 1.26 or newer, which is missing here: install it first")
    _BUILT.parent.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-o", str(_BUILT), "."]
    done = subprocess.run(command, cwd=_SOURCE, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False)
    if done.returncode:
        raise GeneratorMissing(f"the load generator cannot be built: {done.stderr.strip()[-2000:]}")
    return _BUILT


def run(plan: Plan) -> Traffic:
    """Send what the plan says and wait for the end.

    Raises:
        RuntimeError: The generator failed.
    """
    with _written(plan) as path:
        command = [str(_BUILT), str(path)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=plan.timeout_s + _OVERTIME_S, check=False
        )
    if done.returncode:
        raise RuntimeError(f"the load generator ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return Traffic.of(json.loads(done.stdout))


@contextmanager
def _written(plan: Plan) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-plan-") as directory:
        path = Path(directory) / "plan.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(plan)))
        yield path

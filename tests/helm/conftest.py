"""Rendering the chart with a real Helm, as an operator's `helm install` would."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.harness import go_tools

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "recorder"
# The three newest minor versions.
VERSIONS = ("1.35.0", "1.36.0", "1.37.0")
SCENARIOS = ("default", "cluster", "everything")
RELEASE, NAMESPACE = "calls", "voice"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of one rendering.

    Attributes:
        text: As Helm printed them.
        objects: The same, parsed.
    """

    text: str
    objects: list[Object]

    def all(self, kind: str) -> list[Object]:
        """Return every object of a kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Object:
        """Return the one object of a kind whose name ends like this."""
        (found,) = [one for one in self.all(kind) if one["metadata"]["name"].endswith(name)]
        return found

    @property
    def node(self) -> Object:
        """The StatefulSet of the recording pods."""
        (found,) = [
            one for one in self.all("StatefulSet") if one["metadata"]["labels"]["app.kubernetes.io/component"] == "node"
        ]
        return found

    @property
    def pod(self) -> Object:
        """The specification of a recording pod."""
        found: Object = self.node["spec"]["template"]["spec"]
        return found

    @property
    def environment(self) -> dict[str, Object]:
        """The variables of a recording pod."""
        return variables(self.pod["containers"][0])


@dataclass(frozen=True, slots=True)
class Chart:
    """The chart, and the Helm that renders it."""

    helm: Path
    directory: Path
    chart: Path = CHART

    def run(self, command: str, values: Object | Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Helm on the chart."""
        file = str(values) if isinstance(values, Path) else "-"
        name = [] if command == "lint" else [RELEASE]
        return subprocess.run(
            [self.helm, command, *name, self.chart, "--namespace", NAMESPACE, "-f", file, *arguments],
            input=None if isinstance(values, Path) else yaml.safe_dump(values or {}),
            cwd=self.directory,
            # Nothing of the surroundings: no configuration, no cluster.
            env={"HOME": str(self.directory), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def render(self, values: Object | Path | None = None, version: str = VERSIONS[-1]) -> Rendered:
        """Render the chart; it must not be refused."""
        done = self.run("template", values, "--kube-version", version)
        assert done.returncode == 0, done.stderr
        return Rendered(done.stdout, [one for one in yaml.load_all(done.stdout, Loader=UniqueKeys) if one])

    def refusal(self, values: Object) -> str:
        """Return what Helm says of values that it must refuse."""
        done = self.run("template", values)
        assert done.returncode != 0, done.stdout
        return done.stderr


class UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, as the API server does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build the mapping."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice in {keys}"
        return super().construct_mapping(node, deep)


def variables(container: Object) -> dict[str, Object]:
    """Return the environment of a container by name; a name must not stand twice."""
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names)), names
    return {variable["name"]: variable for variable in container["env"]}


def pod_specs(rendered: Rendered) -> list[tuple[str, Object]]:
    """Return every pod with the name of what makes it."""
    found: list[tuple[str, Object]] = []
    for one in rendered.objects:
        match one["kind"]:
            case "Pod":
                found.append((one["metadata"]["name"], one["spec"]))
            case "StatefulSet" | "Deployment" | "Job":
                found.append((one["metadata"]["name"], one["spec"]["template"]["spec"]))
    return found


def tool(find: Callable[[], Path]) -> Path:
    """Return a tool; where it was not built, a run of the integration fails and everybody else is told."""
    try:
        return find()
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(f"CHART NOT TESTED: {error}")


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """The chart with a real Helm."""
    return Chart(tool(go_tools.helm), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def renderings(chart: Chart) -> dict[str, Rendered]:
    """Each scenario of ci/, rendered once."""
    return {name: chart.render(CHART / "ci" / f"{name}-values.yaml") for name in SCENARIOS}

"""What chart, image and compose.yaml are made of: described, generated, and named as the service names it."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.helm.conftest import CHART, ROOT, SCENARIOS, Chart, Rendered, pod_specs, variables

from recorder_service.config import ENVIRONMENT_PREFIX, Settings, load_settings

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
# Settings that branches to come bring: to be emptied with them, which the test below asks for.
EXPECTED: set[str] = set()
# Kubernetes' own structures, passed on as they are: their fields are checked by the API server.
PASSED_ON = {"nodeAffinity", "podAffinity", "podAntiAffinity", "global"}


def known() -> set[str]:
    return {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields}


def expected() -> set[str]:
    return {f"{ENVIRONMENT_PREFIX}{name}" for name in EXPECTED}


def test_expected_settings_are_emptied_when_they_come() -> None:
    """A name that the service has by now is taken out of EXPECTED."""
    assert expected() & known() == set()


def test_chart_gives_settings_that_the_service_has(renderings: dict[str, Rendered]) -> None:
    """A misspelled variable would be ignored in silence."""
    for rendered in renderings.values():
        for name, pod in pod_specs(rendered):
            for container in [*pod["containers"], *pod.get("initContainers", [])]:
                given = {one for one in variables(container) if one.startswith(ENVIRONMENT_PREFIX)}
                assert given <= known() | expected(), name


@pytest.mark.parametrize("path", ["compose.yaml", "Dockerfile", "helm/compose/secrets.sh"])
def test_files_name_settings_that_the_service_has(path: str) -> None:
    """The same for the image and compose.yaml."""
    named = set(re.findall(r"\bRECORDER_[A-Z0-9_]+", (ROOT / path).read_text()))
    assert named
    assert named <= known() | expected()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_serving_pod_is_given_what_the_settings_take(
    renderings: dict[str, Rendered], monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    """The typed settings read each rendered environment, with the flags of `recorder serve`, and refuse nothing."""
    secrets = {f"{ENVIRONMENT_PREFIX}DATABASE_URL": "postgresql://user:password@host:5432/recorder"}
    served = 0
    for _, pod in pod_specs(renderings[scenario]):
        container = pod["containers"][0]
        if container.get("args", [""])[0] != "serve":
            continue
        with monkeypatch.context() as patch:
            for name, variable in variables(container).items():
                patch.setenv(name, variable.get("value", secrets.get(name, "s" * 48)).replace("$(POD_NAME)", "calls-0"))
            flags = dict(argument.removeprefix("--").split("=") for argument in container["args"][1:])
            settings = load_settings(**flags)
        assert settings.drain_grace_s <= pod["terminationGracePeriodSeconds"] - 15
        served += 1
    assert served == (3 if scenario == "everything" else 1)


def test_settings_say_what_the_values_said(chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a values file to the typed settings."""
    rendered = chart.render(
        {"settings": {"max_live_recordings": 7, "ack_interval_s": 0.25}, "drain": {"graceSeconds": 90}}
    )
    for name, variable in rendered.environment.items():
        if "value" in variable:
            monkeypatch.setenv(name, variable["value"])
    settings = load_settings()
    assert (settings.max_live_recordings, settings.ack_interval_s, settings.drain_grace_s) == (7, 0.25, 90)
    assert settings.allow_plaintext


def test_generated_files_are_up_to_date() -> None:
    """README and schema come from values.yaml and the service's settings."""
    done = subprocess.run(
        [sys.executable, ROOT / "helm" / "chart.py", "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_versions_are_one() -> None:
    """The chart installs the image of the same source."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    meta = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert meta["appVersion"] == version
    assert f"ARG VERSION={version}\n" in (ROOT / "Dockerfile").read_text()
    assert yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["recorder"]["image"] == f"recorder:{version}"


def schemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk every schema of an object."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, value in schema.items():
            yield from schemas(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from schemas(value, f"{path}/{number}")


def test_schema_knows_every_key() -> None:
    """Every object says what else it takes: nothing, or values of one kind under names that are not ours."""
    for path, schema in schemas(SCHEMA):
        assert "additionalProperties" in schema, path
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path
        elif path.rsplit("/", 1)[1] not in PASSED_ON:
            assert schema["additionalProperties"].get("type"), path


def leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def test_every_value_is_described() -> None:
    """By itself or by a key above it, in the table of the README."""
    readme = (CHART / "README.md").read_text()
    for path in leaves(VALUES):
        above = [".".join(path[:length]) for length in range(1, len(path) + 1)]
        assert any(f"| `{name}` |" in readme for name in above), path


def test_schema_and_values_have_the_same_keys() -> None:
    """A value without a schema would be refused, a schema without a value is not told of."""
    values = set(leaves(VALUES))

    def known_paths(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        if "$ref" in schema:
            schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
        if not schema.get("properties") or path in values or path == ("settings",):
            yield path
            return
        for key, value in schema["properties"].items():
            yield from known_paths(value, (*path, key))

    free = {("global",), ("podSecurityContext", "supplementalGroups")}
    free |= {(*head, "claims") for head in [path[:-2] for path in values if path[-2:] == ("requests", "cpu")]}
    told = {path for path in known_paths(SCHEMA) if path not in free}
    assert {
        path for path in told if not any(path[: len(one)] == one or one[: len(path)] == path for one in values)
    } == set()
    assert {
        path for path in values if not any(one[: len(path)] == path or path[: len(one)] == one for one in told)
    } == set()

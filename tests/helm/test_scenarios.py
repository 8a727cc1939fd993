"""The chart in its three scenarios: linted, and every object checked against what reads it."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import kubernetes_validate
import pytest
from tests.harness import go_tools
from tests.helm.conftest import CHART, NAMESPACE, RELEASE, SCENARIOS, VERSIONS, Chart, Rendered, pod_specs, tool

# Objects of projects other than Kubernetes: decoded by their own types.
CUSTOM = {
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "GRPCRoute": "gateway.networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "Certificate": "cert-manager.io/v1",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_lint_has_nothing_to_say(chart: Chart, scenario: str, version: str) -> None:
    """Strictly: a warning is an error."""
    done = chart.run("lint", CHART / "ci" / f"{scenario}-values.yaml", "--kube-version", version, "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_objects_fit_the_schemas_of_kubernetes(chart: Chart, scenario: str, version: str) -> None:
    """Each against the schema of that version, which knows no further fields."""
    rendered = chart.render(CHART / "ci" / f"{scenario}-values.yaml", version)
    for one in rendered.objects:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


def test_schemas_are_those_of_the_newest_versions() -> None:
    """The newest of the three is the newest that there are schemas of."""
    assert kubernetes_validate.latest_version() == VERSIONS[-1]


def test_schema_would_find_a_wrong_field(renderings: dict[str, Rendered]) -> None:
    """A misspelled field and a wrong type are refused: the check above can fail."""
    node = json.loads(json.dumps(renderings["default"].node))
    node["spec"]["podManagementPolicies"] = "Parallel"
    with pytest.raises(kubernetes_validate.ValidationError, match="podManagementPolicies"):
        kubernetes_validate.validate(node, VERSIONS[-1], strict=True)
    node = json.loads(json.dumps(renderings["default"].node))
    node["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(node, VERSIONS[-1], strict=True)


def decoded(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool(go_tools.manifests), "decode"], input=text, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_objects_of_other_projects_fit_their_types(renderings: dict[str, Rendered], scenario: str) -> None:
    """Gateway API, Prometheus operator and cert-manager decode them and find no field they do not know."""
    rendered = renderings[scenario]
    done = decoded(rendered.text)
    assert done.returncode == 0, done.stderr
    expected: dict[str, int] = {}
    for one in rendered.objects:
        if one["kind"] in CUSTOM:
            kind = f"{CUSTOM[one['kind']]}/{one['kind']}"
            expected[kind] = expected.get(kind, 0) + 1
    assert json.loads(done.stdout) == expected


def test_decoder_would_find_a_wrong_field(renderings: dict[str, Rendered]) -> None:
    """The check above can fail."""
    done = decoded(renderings["cluster"].text.replace("scrapeTimeout:", "scrapeTimeouts:"))
    assert done.returncode == 1
    assert "scrapeTimeouts" in done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_object_is_named_once_and_carries_the_labels(renderings: dict[str, Rendered], scenario: str) -> None:
    """Two objects of one kind and name would overwrite each other."""
    objects = renderings[scenario].objects
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    for one in objects:
        assert len(one["metadata"]["name"]) <= 63
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "calls"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_pods_have_no_rights_they_do_not_need(renderings: dict[str, Rendered], scenario: str) -> None:
    """Every pod: not root, nothing written to the image, no capability, no token of the cluster."""
    pods = pod_specs(renderings[scenario])
    assert pods
    for name, pod in pods:
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }, name
            assert "memory" in container["resources"]["limits"], name
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_mount_has_its_volume(renderings: dict[str, Rendered], scenario: str) -> None:
    """And every volume is mounted."""
    rendered = renderings[scenario]
    claims = {
        one["metadata"]["name"]: {claim["metadata"]["name"] for claim in one["spec"]["volumeClaimTemplates"]}
        for one in rendered.all("StatefulSet")
    }
    for name, pod in pod_specs(rendered):
        volumes = {volume["name"] for volume in pod["volumes"]} | claims.get(name, set())
        containers = [*pod["containers"], *pod.get("initContainers", [])]
        assert {mount["name"] for container in containers for mount in container["volumeMounts"]} == volumes, name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_service_finds_pods_and_their_ports(renderings: dict[str, Rendered], scenario: str) -> None:
    """A selector that fits no pod, or a port that it does not have, would be a Service without an address."""
    rendered = renderings[scenario]
    templates = [one["spec"]["template"] for one in rendered.objects if one["kind"] in {"StatefulSet", "Deployment"}]
    for service in rendered.all("Service"):
        selector = service["spec"]["selector"].items()
        fitting = [template for template in templates if selector <= template["metadata"]["labels"].items()]
        assert fitting, service["metadata"]["name"]
        for template in fitting:
            ports = {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, service["metadata"]["name"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_budgets_policies_and_workloads_fit_together(renderings: dict[str, Rendered], scenario: str) -> None:
    """Every workload of Recorder has its disruption budget and its network policy."""
    rendered = renderings[scenario]
    roles = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in rendered.objects
        if one["kind"] in {"StatefulSet", "Deployment"}
    } - {"minio", "postgresql"}
    budgets = {
        one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for one in rendered.all("PodDisruptionBudget")
    }
    policies = {
        one["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for one in rendered.all("NetworkPolicy")
    }
    assert budgets == roles
    assert policies - {"migration"} == roles


def test_secrets_that_pods_name_exist_or_were_given(renderings: dict[str, Rendered]) -> None:
    """What the chart refers to is either made by it or one of the values."""
    given = {"calls-tls", "media-servers-ca", "media-server-tls", "otel"}
    rendered = renderings["everything"]
    made = {one["metadata"]["name"] for one in rendered.all("Secret")}
    named = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for _, pod in pod_specs(rendered)
        for container in pod["containers"]
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    } | {
        volume["secret"]["secretName"]
        for _, pod in pod_specs(rendered)
        for volume in pod["volumes"]
        if "secret" in volume
    }
    assert named <= made | given


def test_operators_three_commands_name_what_is_there(chart: Chart) -> None:
    """Install, watch, uninstall as the README has them: the workload that is watched exists."""
    readme = (CHART / "README.md").read_text()
    assert "helm install recorder helm/recorder --namespace calls" in readme
    assert "rollout status statefulset/recorder " in readme
    assert "helm uninstall recorder --namespace calls" in readme
    # Helm's release is called recorder there.
    rendered = chart.render({"fullnameOverride": "recorder"})
    assert rendered.node["metadata"]["name"] == "recorder"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_notes_say_the_next_commands(chart: Chart, tmp_path: Path, scenario: str) -> None:
    """What Helm prints after an installation; a template of a copy of the chart makes an object of it."""
    copy = shutil.copytree(CHART, tmp_path / "recorder")
    template = 'kind: Notes\nmetadata: {name: notes}\ntext: {{ include "recorder/templates/NOTES.txt" . | quote }}\n'
    (copy / "templates" / "notes.yaml").write_text(template)
    rendered = replace(chart, chart=copy).render(CHART / "ci" / f"{scenario}-values.yaml")
    notes = rendered.one("Notes")["text"]
    assert f"kubectl --namespace {NAMESPACE} rollout status statefulset/{rendered.node['metadata']['name']}\n" in notes
    assert f"helm test {RELEASE} --namespace {NAMESPACE}\n" in notes
    assert rendered.environment["RECORDER_ADMIN_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] in notes

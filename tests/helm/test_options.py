"""Every option of the chart: what turning it on makes, and what turning it off leaves out."""

import json
from typing import Any

import pytest
import yaml
from tests.helm.conftest import CHART, Chart, Object, Rendered, variables

EVALUATION: Object = {"evaluation": {"minio": {"enabled": True}, "postgresql": {"enabled": True}}}
DATABASE: Object = {
    "database": {"existingSecret": "db"},
    "networkPolicy": {"databaseTo": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]},
}
S3: Object = {"s3": {"endpoint": "https://s3.example.com", "existingSecret": "keys"}}
GATEWAY: Object = {"parentRefs": [{"name": "public"}]}


def kinds(rendered: Rendered) -> set[str]:
    return {one["kind"] for one in rendered.objects}


def test_default_is_one_pod_with_one_volume(chart: Chart) -> None:
    """No database, no store, no secret given: the embedded default."""
    rendered = chart.render()
    assert kinds(rendered) == {
        "StatefulSet", "Service", "Secret", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "Pod"
    }  # fmt: skip
    assert len(rendered.all("StatefulSet")) == 1
    assert rendered.node["spec"]["replicas"] == 1
    (claim,) = rendered.node["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "20Gi"}
    assert rendered.pod["containers"][0]["args"] == ["serve"]
    assert (
        not {"RECORDER_DATABASE_URL", "RECORDER_S3_ENDPOINT", "RECORDER_CLUSTER_SECRET"} & rendered.environment.keys()
    )


def test_pods_start_together_and_keep_their_volumes(chart: Chart) -> None:
    """Journals hold acknowledged audio: fewer pods or no release remove none."""
    spec = chart.render().node["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["serviceName"] == "calls-recorder-headless"


def test_termination_grace_is_the_drain_and_its_margin(chart: Chart) -> None:
    """Kubernetes must not kill a pod that does what its settings say; parts of a second are rounded up."""
    rendered = chart.render({"drain": {"graceSeconds": 120.5, "marginSeconds": 45}})
    assert rendered.environment["RECORDER_DRAIN_GRACE_S"]["value"] == "120.5"
    assert rendered.pod["terminationGracePeriodSeconds"] == 121 + 45


def test_probes_ask_the_operations_port(chart: Chart) -> None:
    """A start may take as long as a journal takes to read; readiness is another question than life."""
    (container,) = chart.render().pod["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]}["operations"] == 9464
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "operations"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "operations"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "operations"}
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 600


def test_services_name_ports_and_protocols(chart: Chart) -> None:
    """Proxies learn from appProtocol that a port speaks HTTP/2 without TLS."""
    service = chart.render().one("Service", "calls-recorder")
    assert {port["name"]: port["appProtocol"] for port in service["spec"]["ports"]} == {
        "grpc": "kubernetes.io/h2c",
        "http": "http",
    }
    headless = chart.render().one("Service", "-headless")
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True


def test_image_is_named_by_tag_or_digest(chart: Chart) -> None:
    """A digest wins."""
    digest = "sha256:" + "a" * 64
    image = {"repository": "registry.example.com:5000/voice/recorder", "tag": "1.2.3", "pullPolicy": "Always"}
    assert chart.render({"image": image}).pod["containers"][0]["image"].endswith("/recorder:1.2.3")
    found = chart.render({"image": {**image, "digest": digest}}).pod["containers"][0]
    assert found["image"] == f"registry.example.com:5000/voice/recorder@{digest}"
    assert found["imagePullPolicy"] == "Always"


def test_settings_become_variables_as_people_write_them(chart: Chart) -> None:
    """Large numbers keep their digits, and words their spelling."""
    settings = {"max_recording_s": 2_592_000, "ack_interval_s": 0.25, "log_level": "debug", "disk_soft_mib": 10_485_760}
    environment = chart.render({"settings": settings}).environment
    assert environment["RECORDER_MAX_RECORDING_S"]["value"] == "2592000"
    assert environment["RECORDER_ACK_INTERVAL_S"]["value"] == "0.25"
    assert environment["RECORDER_LOG_LEVEL"]["value"] == "debug"
    assert environment["RECORDER_DISK_SOFT_MIB"]["value"] == "10485760"


def test_every_secret_may_be_one_that_exists(chart: Chart) -> None:
    """Then the chart makes none."""
    rendered = chart.render({
        **DATABASE,
        **S3,
        "adminToken": {"existingSecret": "admin", "key": "a"},
        "clusterSecret": {"existingSecret": "cluster", "key": "c"},
    })  # fmt: skip
    assert rendered.all("Secret") == []
    referred = {
        name: (found["valueFrom"]["secretKeyRef"]["name"], found["valueFrom"]["secretKeyRef"]["key"])
        for name, found in rendered.environment.items()
        if "secretKeyRef" in found.get("valueFrom", {})
    }
    assert referred == {
        "RECORDER_ADMIN_TOKEN": ("admin", "a"),
        "RECORDER_CLUSTER_SECRET": ("cluster", "c"),
        "RECORDER_DATABASE_URL": ("db", "url"),
        "RECORDER_S3_ACCESS_KEY": ("keys", "access-key"),
        "RECORDER_S3_SECRET_KEY": ("keys", "secret-key"),
    }


def test_secrets_that_the_chart_makes_are_long_and_kept(chart: Chart) -> None:
    """An upgrade or removal must not lose the only copy."""
    secrets = chart.render(EVALUATION).all("Secret")
    assert len(secrets) == 4
    for secret in secrets:
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        for key, value in secret["stringData"].items():
            assert len(value) >= (20 if key == "access-key" else 32)


def test_database_brings_a_migration_before_pods(chart: Chart) -> None:
    """A Job as hook, with nothing but the database's URL; without the option there is none."""
    rendered = chart.render(DATABASE)
    job = rendered.one("Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate"]
    assert variables(container).keys() == {"RECORDER_DATABASE_URL"}
    # The release's own account does not exist yet.
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default"
    off = {**DATABASE, "database": {**DATABASE["database"], "migration": {"enabled": False}}}
    assert chart.render(off).all("Job") == []


def test_pods_of_a_cluster_know_where_they_are_reached(chart: Chart) -> None:
    """Each by its own name below the headless Service, on a port of its own."""
    environment = chart.render(DATABASE).environment
    assert environment["RECORDER_CLUSTER_HOST"]["value"] == "$(POD_NAME).calls-recorder-headless.voice.svc"
    assert environment["RECORDER_CLUSTER_ADDRESS"]["value"] == "0.0.0.0:50052"
    assert list(environment).index("POD_NAME") < list(environment).index("RECORDER_CLUSTER_HOST")
    six = chart.render({**DATABASE, "listenAddress": "::"}).environment
    assert six["RECORDER_CLUSTER_ADDRESS"]["value"] == "[::]:50052"


@pytest.mark.parametrize(("credentials", "keys"), [("static", True), ("iam", False), ("environment", False)])
def test_store_keys_are_given_where_they_are_static(chart: Chart, credentials: str, keys: bool) -> None:
    """Other sources of credentials need none."""
    s3 = {"endpoint": "https://s3.example.com", "credentials": credentials, "existingSecret": "keys" if keys else ""}
    environment = chart.render({"s3": s3}).environment
    assert environment["RECORDER_S3_CREDENTIALS"]["value"] == credentials
    assert ("RECORDER_S3_SECRET_KEY" in environment) is keys


def test_store_with_its_own_authority_and_key(chart: Chart) -> None:
    """The certificate is mounted where the variable says."""
    s3 = {
        **S3["s3"],
        "encryption": "sse-kms",
        "kmsKeyId": "alias/calls",
        "ca": {"existingSecret": "ca", "key": "root.pem"},
    }
    rendered = chart.render({"s3": s3})
    assert rendered.environment["RECORDER_S3_CA_FILE"]["value"] == "/etc/recorder/s3-ca/ca.crt"
    assert rendered.environment["RECORDER_S3_KMS_KEY_ID"]["value"] == "alias/calls"
    (volume,) = [one for one in rendered.pod["volumes"] if one["name"] == "s3-ca"]
    assert volume["secret"]["items"] == [{"key": "root.pem", "path": "ca.crt"}]


def test_evaluation_stores_are_reached_by_their_names(chart: Chart) -> None:
    """MinIO and PostgreSQL of the release, with secrets made for them; pods migrate when the database is there."""
    rendered = chart.render(EVALUATION)
    assert rendered.environment["RECORDER_S3_ENDPOINT"]["value"] == "http://calls-recorder-minio:9000"
    secret = rendered.one("Secret", "-postgresql")["stringData"]
    assert secret["url"] == f"postgresql://recorder:{secret['password']}@calls-recorder-postgresql:5432/recorder"
    assert rendered.pod["initContainers"][0]["args"] == ["migrate"]
    assert rendered.all("Job") == []


def test_many_pods_and_workers(chart: Chart) -> None:
    """Where the stores are shared."""
    rendered = chart.render({**EVALUATION, "replicaCount": 3, "workers": 4})
    assert rendered.node["spec"]["replicas"] == 3
    assert rendered.pod["containers"][0]["args"] == ["serve", "--workers=4"]


def test_roles_of_their_own(chart: Chart) -> None:
    """Calls on the StatefulSet with its volumes, the rest on Deployments without."""
    rendered = chart.render({**EVALUATION, "roles": {"separate": True, "http": {"replicaCount": 4}}})
    assert rendered.pod["containers"][0]["args"] == ["serve", "--role=ingest"]
    http, dispatcher = rendered.one("Deployment", "-http"), rendered.one("Deployment", "-dispatcher")
    assert http["spec"]["replicas"] == 4
    arguments = [one["spec"]["template"]["spec"]["containers"][0]["args"] for one in (http, dispatcher)]
    assert arguments == [["serve", "--role=http"], ["serve", "--role=dispatcher"]]
    assert "RECORDER_CLUSTER_ADDRESS" not in variables(http["spec"]["template"]["spec"]["containers"][0])
    assert {"name": "data", "emptyDir": {}} in http["spec"]["template"]["spec"]["volumes"]
    test = rendered.one("Pod")["spec"]["containers"][0]["args"]
    assert test == [
        "--server=calls-recorder-http.voice.svc:50051", "check", "--record-to=calls-recorder.voice.svc:50051"
    ]  # fmt: skip


def test_certificate_that_exists(chart: Chart) -> None:
    """TLS instead of plain text, and clients that must show a certificate."""
    tls = {"existingSecret": "cert", "clientCa": {"existingSecret": "ca"}}
    rendered = chart.render({"tls": tls, "tests": {"clientCertificateSecret": "client"}})
    assert "RECORDER_ALLOW_PLAINTEXT" not in rendered.environment
    assert rendered.environment["RECORDER_TLS_CERT"]["value"] == "/etc/recorder/tls/tls.crt"
    assert rendered.environment["RECORDER_TLS_CLIENT_CA"]["value"] == "/etc/recorder/client-ca/ca.crt"
    service = rendered.one("Service", "calls-recorder")
    assert {port["appProtocol"] for port in service["spec"]["ports"]} == {"https"}
    arguments = rendered.one("Pod")["spec"]["containers"][0]["args"]
    assert "--tls-ca=/etc/recorder/tls/ca.crt" in arguments
    assert "--tls-cert=/etc/recorder/client/tls.crt" in arguments


def test_certificate_by_cert_manager_names_every_way_in(chart: Chart) -> None:
    """The Services, the pods by their own names, and what the operator adds."""
    manager = {"enabled": True, "issuerRef": {"name": "internal"}, "dnsNames": ["recorder.example.com"]}
    rendered = chart.render({**EVALUATION, "tls": {"certManager": manager}})
    spec = rendered.one("Certificate")["spec"]
    assert spec["dnsNames"] == [
        "calls-recorder", "calls-recorder.voice.svc", "*.calls-recorder-headless.voice.svc", "recorder.example.com"
    ]  # fmt: skip
    assert spec["secretName"] in {volume.get("secret", {}).get("secretName") for volume in rendered.pod["volumes"]}
    assert rendered.environment["RECORDER_CLUSTER_CA"]["value"] == "/etc/recorder/tls/ca.crt"


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://calls-recorder.voice.svc:8080"),
        ({"tls": {"existingSecret": "cert"}}, "https://calls-recorder.voice.svc:8080"),
        ({"ingress": {"http": {"enabled": True, "host": "r.example.com"}}}, "http://r.example.com"),
        ({"ingress": {"http": {"enabled": True, "host": "r.example.com", "tlsSecret": "t"}}}, "https://r.example.com"),
        ({"gateway": {**GATEWAY, "http": {"enabled": True, "hostnames": ["g.example.com"]}}}, "https://g.example.com"),
        ({"publicUrl": "https://elsewhere.example.com/base"}, "https://elsewhere.example.com/base"),
    ],
)
def test_recording_urls_are_the_way_in_that_was_chosen(chart: Chart, values: Object, url: str) -> None:
    """Webhooks tell applications where to download."""
    assert chart.render(values).environment["RECORDER_PUBLIC_URL"]["value"] == url


def test_grpc_routes_send_calls_to_the_pods_that_record(chart: Chart) -> None:
    """With roles of their own, everything that is no call goes to the http role."""
    route = {"gateway": {**GATEWAY, "grpc": {"enabled": True, "hostnames": ["g.example.com"]}}}
    ingress = {"ingress": {"grpc": {"enabled": True, "host": "i.example.com"}}}
    whole = chart.render({**route, **ingress})
    assert [rule["backendRefs"][0]["name"] for rule in whole.one("GRPCRoute")["spec"]["rules"]] == ["calls-recorder"]
    parted = chart.render({**route, **ingress, **EVALUATION, "roles": {"separate": True}})
    calls, rest = parted.one("GRPCRoute")["spec"]["rules"]
    assert calls["matches"] == [{"method": {"type": "Exact", "service": "recorder.v1.RecorderService"}}]
    assert [one["backendRefs"][0]["name"] for one in (calls, rest)] == ["calls-recorder", "calls-recorder-http"]
    paths = parted.one("Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert [(path["path"], path["backend"]["service"]["name"]) for path in paths] == [
        ("/recorder.v1.RecorderService/", "calls-recorder"),
        ("/", "calls-recorder-http"),
    ]


def egress_networks(policy: Object) -> dict[str, list[str]]:
    blocks = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule.get("to", []) if "ipBlock" in peer]
    return {block["cidr"]: block.get("except", []) for block in blocks}


def test_webhooks_reach_the_internet_and_nothing_near(chart: Chart) -> None:
    """Not the cluster, private networks or the metadata service of a cloud."""
    networks = egress_networks(chart.render().one("NetworkPolicy"))
    assert set(networks) == {"0.0.0.0/0", "::/0"}
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"} <= set(
        networks["0.0.0.0/0"]
    )
    assert {"fc00::/7", "fe80::/10", "64:ff9b::/96"} <= set(networks["::/0"])


def test_networks_that_webhooks_may_go_to_are_let_out(chart: Chart) -> None:
    """One value for the service's own guard and for the policy."""
    rendered = chart.render({"webhooks": {"allowCidrs": ["10.3.0.0/16", "fd00::/64"]}})
    assert rendered.environment["RECORDER_WEBHOOK_ALLOW_CIDRS"]["value"] == "10.3.0.0/16,fd00::/64"
    assert {"10.3.0.0/16", "fd00::/64"} <= set(egress_networks(rendered.one("NetworkPolicy")))


def test_pods_that_serve_downloads_are_kept_from_the_internet(chart: Chart) -> None:
    """Only those that send webhooks go there."""
    rendered = chart.render({**EVALUATION, "roles": {"separate": True}})
    assert egress_networks(rendered.one("NetworkPolicy", "-http")) == {}
    assert set(egress_networks(rendered.one("NetworkPolicy", "-dispatcher"))) == {"0.0.0.0/0", "::/0"}


def test_policy_lets_in_those_named(chart: Chart) -> None:
    """Everybody where nobody is named; metrics from the cluster alone."""
    peers = [{"namespaceSelector": {"matchLabels": {"media": "yes"}}}]
    ingress = chart.render({"networkPolicy": {"clientsFrom": peers, "metricsFrom": peers}}).one("NetworkPolicy")[
        "spec"
    ]["ingress"]
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in ingress if "ports" in rule}
    assert by_port == {"grpc": peers, "operations": peers}
    open_to_all = chart.render().one("NetworkPolicy")["spec"]["ingress"]
    assert [rule.get("from") for rule in open_to_all if "ports" in rule] == [None, [{"namespaceSelector": {}}]]


def test_policy_lets_pods_reach_database_and_store(chart: Chart) -> None:
    """Where they are inside the cluster they are named; the migration reaches the database alone."""
    store = [{"podSelector": {"matchLabels": {"app": "minio"}}}]
    policy = {**DATABASE["networkPolicy"], "storeTo": store, "storePort": 9000}
    s3 = {"endpoint": "http://minio.stores.svc:9000", "existingSecret": "keys"}
    rendered = chart.render({**DATABASE, "s3": s3, "networkPolicy": policy})
    rules = rendered.one("NetworkPolicy", "-node")["spec"]["egress"]
    ports = {rule["ports"][0]["port"]: rule["to"] for rule in rules if "ports" in rule}
    assert ports[9000] == store
    assert ports[5432] == policy["databaseTo"]
    assert set(egress_networks(rendered.one("NetworkPolicy", "-migration"))) == {"10.1.0.0/16"}


def test_autoscaler_by_cpu_and_by_live_recordings(chart: Chart) -> None:
    """It owns the number of pods: the StatefulSet then names none."""
    rendered = chart.render({**EVALUATION, "autoscaling": {"enabled": True}})
    assert "replicas" not in rendered.node["spec"]
    spec = rendered.one("HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    live = chart.render({**EVALUATION, "autoscaling": {"enabled": True, "metric": "liveRecordings"}})
    (metric,) = live.one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "recorder_live_recordings"


def test_dashboards_become_config_maps_for_grafanas_sidecar(chart: Chart) -> None:
    """One a file, with the label that the sidecar looks for; without files there is none."""
    rendered = chart.render({"monitoring": {"dashboards": {"enabled": True}}})
    files = {path.name: json.loads(path.read_text()) for path in (CHART / "files" / "dashboards").glob("*.json")}
    found = {name: json.loads(text) for one in rendered.all("ConfigMap") for name, text in one["data"].items()}
    assert found == files
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in rendered.all("ConfigMap"))


def test_rules_become_one_prometheus_rule(chart: Chart) -> None:
    """Alerts and recording rules as the files have them; without files there is none."""
    rendered = chart.render({"monitoring": {"prometheusRule": {"enabled": True, "labels": {"release": "p"}}}})
    files = [CHART / "files" / name for name in ("recording-rules.yaml", "alerts.yaml")]
    groups = [group for path in files if path.exists() for group in yaml.safe_load(path.read_text())["groups"]]
    assert [group for one in rendered.all("PrometheusRule") for group in one["spec"]["groups"]] == groups
    assert all(one["metadata"]["labels"]["release"] == "p" for one in rendered.all("PrometheusRule"))


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
def test_monitors_find_the_pods_of_every_role(chart: Chart, monitor: str) -> None:
    """By labels that pods, or the Service of metrics, carry."""
    on = {"enabled": True, "labels": {"release": "prometheus"}, "interval": "30s"}
    rendered = chart.render({**EVALUATION, "roles": {"separate": True}, "monitoring": {monitor: on}})
    found = rendered.one(monitor[0].upper() + monitor[1:])
    assert found["metadata"]["labels"]["release"] == "prometheus"
    labels = found["spec"]["selector"]["matchLabels"].items()
    if monitor == "serviceMonitor":
        service = rendered.one("Service", "-metrics")
        assert labels <= service["metadata"]["labels"].items()
        assert [one for one in rendered.all("Service") if labels <= one["metadata"]["labels"].items()] == [service]
        labels = service["spec"]["selector"].items()
    workloads = [one for one in rendered.objects if one["kind"] in {"StatefulSet", "Deployment"}]
    scraped = [one for one in workloads if labels <= one["spec"]["template"]["metadata"]["labels"].items()]
    assert len(scraped) == 3


def test_placement_reaches_every_pod(chart: Chart) -> None:
    """Priority, nodes, taints, affinity, labels and annotations."""
    rendered = chart.render({
        "priorityClassName": "voice",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "voice", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"tier": "voice"},
    })  # fmt: skip
    assert rendered.pod["priorityClassName"] == "voice"
    assert rendered.pod["nodeSelector"] == {"disk": "ssd"}
    assert rendered.pod["tolerations"] == [{"key": "voice", "operator": "Exists"}]
    assert "nodeAffinity" in rendered.pod["affinity"]
    metadata = rendered.node["spec"]["template"]["metadata"]
    assert metadata["annotations"]["a"] == "b"
    assert metadata["labels"]["tier"] == "voice"
    (zone, host) = rendered.pod["topologySpreadConstraints"]
    selector = rendered.node["spec"]["selector"]
    assert zone["labelSelector"] == host["labelSelector"] == selector


def test_ids_that_are_null_are_left_to_the_cluster(chart: Chart) -> None:
    """As OpenShift wants."""
    ids = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    context = chart.render({"podSecurityContext": ids}).pod["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & context.keys()
    assert context["runAsNonRoot"] is True


OFF: list[tuple[Object, str, str]] = [
    ({"tests": {"enabled": False}}, "Pod", ""),
    ({"serviceAccount": {"create": False, "name": "mine"}}, "ServiceAccount", ""),
    ({"podDisruptionBudget": {"enabled": False}}, "PodDisruptionBudget", ""),
    ({"networkPolicy": {"enabled": False}}, "NetworkPolicy", ""),
    ({"adminToken": {"existingSecret": "mine"}}, "Secret", ""),
]


@pytest.mark.parametrize(("values", "kind", "name"), OFF)
def test_what_is_turned_off_is_not_made(chart: Chart, values: Object, kind: str, name: str) -> None:
    """And the rest renders as before."""
    rendered = chart.render(values)
    assert [one for one in rendered.all(kind) if one["metadata"]["name"].endswith(name)] == []
    assert rendered.pod["serviceAccountName"] == ("mine" if kind == "ServiceAccount" else "calls-recorder")


def _maps(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(values, dict):
        return []
    return [path, *(found for key, value in values.items() for found in _maps(value, (*path, key)))]


def _lists(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(values, list):
        return [path]
    if not isinstance(values, dict):
        return []
    return [found for key, value in values.items() for found in _lists(value, (*path, key))]


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


def _with(path: tuple[str, ...], value: Any) -> Object:
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def test_empty_maps_change_nothing_where_keys_have_defaults(chart: Chart) -> None:
    """`resources: {}` and the like in a values file mean: as it is."""
    values: Object = {}
    for path in _maps(DEFAULTS):
        if len(path) == 1:
            values[path[0]] = {}
    assert _comparable(chart.render(values)) == _comparable(chart.render())


def test_empty_lists_and_maps_render_everywhere(chart: Chart) -> None:
    """Lists without entries, resources and ids taken away: nothing stands half."""
    values: Object = {}
    for path in _lists(DEFAULTS):
        if path != ("persistence", "accessModes"):
            _merge(values, _with(path, []))
    _merge(values, {"resources": {"requests": None, "limits": None}, "podSecurityContext": {"fsGroup": None}})
    rendered = chart.render(values)
    assert "topologySpreadConstraints" not in rendered.pod
    assert rendered.pod["containers"][0]["resources"] == {}
    assert egress_networks(rendered.one("NetworkPolicy")) == {"0.0.0.0/0": [], "::/0": []}


def _merge(into: Object, more: Object) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _comparable(rendered: Rendered) -> list[Object]:
    """Leave out what is random."""
    return [one for one in rendered.objects if one["kind"] != "Secret"]

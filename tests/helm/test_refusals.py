"""Values that cannot work: each is refused, with one sentence that says what to give instead."""

import pytest
from tests.helm.conftest import Chart, Object

DATABASE: Object = {"database": {"existingSecret": "db"}, "networkPolicy": {"databaseTo": [{"podSelector": {}}]}}
S3: Object = {"s3": {"endpoint": "https://s3.example.com", "existingSecret": "keys"}}
SHARED: Object = {**DATABASE, **S3}

# Values, and what the sentence must hold: what is wrong, and the fix.
COMBINATIONS: list[tuple[Object, str, str]] = [
    ({"replicaCount": 2}, "replicaCount is 2", "give database.existingSecret and s3.endpoint"),
    ({"replicaCount": 2, **DATABASE}, "replicaCount is 2", "or replicaCount=1"),
    ({"replicaCount": 2, **S3}, "replicaCount is 2", "evaluation.postgresql.enabled=true"),
    ({"workers": 2}, "workers is 2", "or workers=1"),
    ({"autoscaling": {"enabled": True}}, "autoscaling.enabled needs", "or autoscaling.enabled=false"),
    ({"roles": {"separate": True}}, "roles.separate needs", "or roles.separate=false"),
    (
        {**DATABASE, "evaluation": {"postgresql": {"enabled": True}}},
        "database.existingSecret and evaluation.postgresql.enabled",
        "give one of them",
    ),
    ({**S3, "evaluation": {"minio": {"enabled": True}}}, "s3.endpoint and evaluation.minio.enabled", "give one of"),
    ({"s3": {"endpoint": "https://s3.example.com"}}, "s3.credentials is static without keys", "s3.existingSecret"),
    ({"s3": {"existingSecret": "keys"}}, "s3.existingSecret has keys for no store", "give s3.endpoint"),
    ({"s3": {"ca": {"existingSecret": "ca"}}}, "s3.ca.existingSecret", "give s3.endpoint"),
    ({"s3": {**S3["s3"], "credentials": "iam"}}, "s3.existingSecret is not used", "give s3.credentials=static"),
    ({"s3": {**S3["s3"], "encryption": "sse-kms"}}, "sse-kms without a key", "give s3.kmsKeyId"),
    (
        {"tls": {"existingSecret": "t", "certManager": {"enabled": True, "issuerRef": {"name": "i"}}}},
        "tls.existingSecret and tls.certManager.enabled",
        "give one of them",
    ),
    ({"tls": {"certManager": {"enabled": True}}}, "needs an issuer", "give tls.certManager.issuerRef.name"),
    ({"tls": {"clientCa": {"existingSecret": "ca"}}}, "tls.clientCa.existingSecret needs", "give tls.existingSecret"),
    (
        {"tls": {"existingSecret": "t", "clientCa": {"existingSecret": "ca"}}},
        "keeps the test of `helm test` out",
        "give tests.clientCertificateSecret",
    ),
    ({"tests": {"clientCertificateSecret": "c"}}, "asked for by nobody", "give tls.clientCa.existingSecret"),
    ({"ingress": {"http": {"enabled": True}}}, "ingress.http.enabled needs a host", "give ingress.http.host"),
    ({"ingress": {"grpc": {"enabled": True}}}, "ingress.grpc.enabled needs a host", "give ingress.grpc.host"),
    (
        {"ingress": {"http": {"enabled": True, "host": "a.b"}, "grpc": {"enabled": True, "host": "a.b"}}},
        "are both a.b",
        "give two hosts",
    ),
    ({"gateway": {"http": {"enabled": True, "hostnames": ["a.b"]}}}, "needs a Gateway", "give gateway.parentRefs"),
    (
        {"gateway": {"parentRefs": [{"name": "g"}], "grpc": {"enabled": True}}},
        "gateway.grpc.enabled needs a host name",
        "give gateway.grpc.hostnames",
    ),
    ({"serviceAccount": {"create": False}}, "serviceAccount.create is false", "give serviceAccount.name"),
    (
        {**SHARED, "autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}},
        "autoscaling.minReplicas is 5",
        "give at most 4",
    ),
    (
        {**SHARED, "autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
        "autoscaling.metric is cpu",
        "give resources.requests.cpu",
    ),
    ({"database": {"existingSecret": "db"}}, "keeps pods from the database", "networkPolicy.databaseTo"),
    (
        {"s3": {"endpoint": "http://minio.stores.svc.cluster.local:9000", "existingSecret": "k"}},
        "not on the internet",
        "networkPolicy.storeTo",
    ),
    ({"s3": {"endpoint": "http://minio:9000", "existingSecret": "k"}}, "not on the internet", "networkPolicy.storeTo"),
    ({"s3": {"endpoint": "http://172.20.1.2", "existingSecret": "k"}}, "not on the internet", "networkPolicy.storeTo"),
    (
        {"monitoring": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}},
        "would count everything twice",
        "give one of them",
    ),
    ({"extraEnv": [{"name": "RECORDER_LOG_LEVEL", "value": "x"}]}, "extraEnv has RECORDER_LOG_LEVEL", "log_level"),
    ({"publicUrl": "recorder.example.com"}, "publicUrl is recorder.example.com", "give it as https://HOST"),
]


@pytest.mark.parametrize(("values", "wrong", "fix"), COMBINATIONS)
def test_combination_is_refused_with_the_fix(chart: Chart, values: Object, wrong: str, fix: str) -> None:
    """One sentence, after what Helm says of every failure of a template."""
    sentence = chart.refusal(values).partition("refusals.yaml:1:4): ")[2].splitlines()[0]
    assert wrong in sentence
    assert fix in sentence
    assert sentence.endswith(".")
    assert ". " not in sentence


# Values, and where the schema finds them wrong.
WRONG: list[tuple[Object, str]] = [
    ({"replicas": 3}, "'replicas' not allowed"),
    ({"image": {"name": "x"}}, "'name' not allowed"),
    ({"settings": {"max_live_recording": 3}}, "'max_live_recording' not allowed"),
    ({"settings": {"data_dir": "/x"}}, "'data_dir' not allowed"),
    ({"settings": {"max_live_recordings": 0}}, "/settings/max_live_recordings"),
    ({"settings": {"max_live_recordings": "many"}}, "/settings/max_live_recordings"),
    ({"settings": {"log_level": "loud"}}, "/settings/log_level"),
    ({"settings": {"disk_soft_percent": 100}}, "/settings/disk_soft_percent"),
    ({"replicaCount": -1}, "/replicaCount"),
    ({"replicaCount": "3"}, "/replicaCount"),
    ({"replicaCount": 1.5}, "/replicaCount"),
    ({"workers": 0}, "/workers"),
    ({"image": {"digest": "latest"}}, "/image/digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"image": {"repository": "Not A Name"}}, "/image/repository"),
    ({"s3": {"endpoint": "s3.example.com"}}, "/s3/endpoint"),
    ({"s3": {"addressing": "maybe"}}, "/s3/addressing"),
    ({"s3": {"bucket": "A"}}, "/s3/bucket"),
    ({"s3": {"encryption": "rot13"}}, "/s3/encryption"),
    ({"s3": {"secretKey": "do not write secrets here"}}, "'secretKey' not allowed"),
    ({"database": {"url": "postgresql://u:p@h/d"}}, "'url' not allowed"),
    ({"adminToken": {"existingSecret": "Not_A_Name"}}, "/adminToken/existingSecret"),
    ({"webhooks": {"allowCidrs": ["10.0.0.0"]}}, "/webhooks/allowCidrs/0"),
    ({"webhooks": {"allowCidrs": "10.0.0.0/8"}}, "/webhooks/allowCidrs"),
    ({"persistence": {"size": "20 GB"}}, "/persistence/size"),
    ({"persistence": {"enabled": False}}, "'enabled' not allowed"),
    ({"persistence": {"accessModes": []}}, "/persistence/accessModes"),
    ({"persistence": {"whenDeleted": "Forget"}}, "/persistence/whenDeleted"),
    ({"drain": {"graceSeconds": -1}}, "/drain/graceSeconds"),
    ({"drain": {"marginSeconds": 3}}, "/drain/marginSeconds"),
    ({"service": {"type": "ExternalName"}}, "/service/type"),
    ({"service": {"grpcPort": 70000}}, "/service/grpcPort"),
    ({"ingress": {"http": {"host": "https://x"}}}, "/ingress/http/host"),
    ({"autoscaling": {"metric": "memory"}}, "/autoscaling/metric"),
    ({"autoscaling": {"targetCpuPercent": 101}}, "/autoscaling/targetCpuPercent"),
    ({"networkPolicy": {"clientsFrom": [{"namespace": "x"}]}}, "'namespace' not allowed"),
    ({"networkPolicy": {"databasePort": "postgres"}}, "/networkPolicy/databasePort"),
    ({"networkPolicy": {"webhooksExcept": {"ipv4": ["fd00::/8"]}}}, "/networkPolicy/webhooksExcept/ipv4/0"),
    ({"monitoring": {"serviceMonitor": {"interval": "often"}}}, "/monitoring/serviceMonitor/interval"),
    ({"podSecurityContext": {"runAsUser": 0}}, "/podSecurityContext/runAsUser"),
    ({"podSecurityContext": {"privileged": True}}, "'privileged' not allowed"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    ({"podLabels": {"app.kubernetes.io/name": "mine"}}, "propertyName 'app.kubernetes.io/name'"),
    ({"commonLabels": {"team": "a b"}}, "/commonLabels/team"),
    ({"listenAddress": "everywhere"}, "/listenAddress"),
    ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "/topologySpreadConstraints/0"),
    ({"probes": {"liveness": {"periodSeconds": 0}}}, "/probes/liveness/periodSeconds"),
    ({"evaluation": {"minio": {"size": "much"}}}, "/evaluation/minio/size"),
    ({"extraEnv": [{"value": "x"}]}, "/extraEnv/0"),
]


@pytest.mark.parametrize(("values", "place"), WRONG, ids=str)
def test_wrong_value_is_refused_by_its_place(chart: Chart, values: Object, place: str) -> None:
    """The schema names the value at fault, in one line."""
    told = chart.refusal(values)
    assert "don't meet the specifications of the schema" in told
    (line,) = [line for line in told.splitlines() if line.startswith("- at ")]
    assert place in line

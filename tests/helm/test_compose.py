"""compose.yaml, loaded as docker compose loads it; no engine runs it here."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.harness import go_tools
from tests.helm.conftest import ROOT, tool

SUPPORT = ROOT / "helm" / "compose"
MONITORING = {"prometheus", "grafana"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a checkout with compose.yaml and what it mounts, and the secrets that the script makes."""
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    shutil.copytree(ROOT / "helm", tmp_path / "helm")
    done = subprocess.run(
        [tmp_path / "helm" / "compose" / "secrets.sh"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return tmp_path


def load(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool(go_tools.manifests), "compose", "compose.yaml"],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(project)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def services(project: Path) -> dict[str, dict[str, Any]]:
    done = load(project)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return found


def test_project_loads_with_every_service(project: Path) -> None:
    """Monitoring comes with its profile, the rest always."""
    found = services(project)
    assert set(found) == {"migrate", "recorder", "postgresql", "minio", *MONITORING}
    assert {name for name, service in found.items() if service.get("profiles")} == MONITORING


def test_services_are_hardened_and_watched(project: Path) -> None:
    """Read-only root, no capability, a health check (Recorder's is the image's), and ports on this machine alone."""
    for name, service in services(project).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert name in {"recorder", "migrate"} or service["healthcheck"]["test"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        assert ":latest" not in service["image"], name
        assert ":" in service["image"], name


def test_stores_have_no_way_out(project: Path) -> None:
    """They are on the inner network alone."""
    found = services(project)
    for name in ("postgresql", "minio"):
        assert set(found[name]["networks"]) == {"inside"}
    assert json.loads(load(project).stdout)["networks"]["inside"]["internal"] is True


def test_recorder_waits_for_what_it_needs(project: Path) -> None:
    """The schema, and the store."""
    conditions = {name: one["condition"] for name, one in services(project)["recorder"]["depends_on"].items()}
    assert conditions == {"migrate": "service_completed_successfully", "minio": "service_healthy"}


def test_mounted_files_are_there(project: Path) -> None:
    """What is bound into a container is in the checkout, or the container would see an empty directory."""
    for name, service in services(project).items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists(), (name, volume)
                assert volume["read_only"] is True, (name, volume)


def test_grafana_finds_prometheus_and_the_dashboards(project: Path) -> None:
    """Provisioned: the source that the dashboards name, and the folder that is mounted."""
    (source,) = yaml.safe_load((SUPPORT / "grafana" / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((SUPPORT / "grafana" / "dashboards" / "recorder.yaml").read_text())["providers"]
    targets = [volume["target"] for volume in services(project)["grafana"]["volumes"]]
    assert provider["options"]["path"] in targets


def test_prometheus_scrapes_recorder_and_reads_its_rules(project: Path) -> None:
    """The target is Recorder's metrics port; the rules are those of the chart."""
    found = yaml.safe_load((SUPPORT / "prometheus.yml").read_text())
    assert found["scrape_configs"][0]["static_configs"] == [{"targets": ["recorder:9464"]}]
    mounted = {volume["target"]: volume["source"] for volume in services(project)["prometheus"]["volumes"]}
    (pattern,) = found["rule_files"]
    assert mounted[str(Path(pattern).parent)].endswith("helm/recorder/files")


def test_missing_secrets_are_refused_with_the_fix(project: Path) -> None:
    """Nobody runs it with passwords that everybody knows."""
    (project / ".env").unlink()
    done = load(project)
    assert done.returncode == 1
    assert "run helm/compose/secrets.sh first" in done.stderr


def test_secrets_are_fresh_private_and_not_overwritten(project: Path) -> None:
    """Readable by their owner alone; a second run keeps them."""
    path = project / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert len(set(values.values())) == len(values)
    assert all(len(value) >= 32 for value in values.values())
    before = path.read_text()
    again = subprocess.run(
        [project / "helm" / "compose" / "secrets.sh"], capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 1
    assert path.read_text() == before

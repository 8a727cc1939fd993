"""Write what is generated in the chart; with --check, fail when it is not up to date.

python helm/chart.py [--check]

`README.md`: the table of values comes from the comments of values.yaml (helm-docs' form: `# -- text` above a key).
`values.schema.json`: what `settings` may hold comes from the service's own settings.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recorder_service.config import Settings

CHART = Path(__file__).parent / "recorder"
_TABLE = '{{ template "chart.valuesTable" . }}'
_KEY = re.compile(r"^( *)([A-Za-z0-9_]+):")
_KEPT = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern", "enum")
# Settings that the chart gives by values of its own, or that make no sense in a pod.
OWNED = frozenset({
    "data_dir", "host", "grpc_port", "http_port", "metrics_port", "public_url", "allow_plaintext",
    "tls_cert", "tls_key", "tls_client_ca", "admin_token", "drain_grace_s", "webhook_allow_cidrs",
    "s3_endpoint", "s3_bucket", "s3_region", "s3_prefix", "s3_access_key", "s3_secret_key", "s3_credentials",
    "s3_addressing", "s3_ca_file", "s3_encryption", "s3_kms_key_id", "s3_read_back",
    "config", "node_dir", "files_dir", "metrics_host", "reuse_port", "supervised", "database_url", "role", "workers",
    "cluster_address", "cluster_host", "cluster_secret", "cluster_ca",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """One described value.

    Attributes:
        path: Keys from the top.
        description: The text after `# --`, its lines joined.
    """

    path: tuple[str, ...]
    description: str


def described(text: str) -> Iterator[Value]:
    """Find every key of values.yaml that has a comment in helm-docs' form above it."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("#"):
            comment += [stripped.removeprefix("#").strip()] if comment else []
        elif found := _KEY.match(line):
            indent = len(found[1])
            path = [*(step for step in path if step[0] < indent), (indent, found[2])]
            if comment:
                yield Value(tuple(key for _, key in path), " ".join(comment))
            comment = []


def at(values: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at a path."""
    for key in path:
        values = values[key]
    return values


def readme() -> str:
    """Return the chart's README with its table."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in described(text):
        default = json.dumps(at(values, value.path), ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{'.'.join(value.path)}` | `{default}` | {value.description.replace('|', chr(92) + '|')} |")
    return (CHART / "README.md.gotmpl").read_text().replace(_TABLE, "\n".join(rows))


def schema() -> str:
    """Return the schema of the values, with the service's settings as they are now."""
    found = json.loads((CHART / "values.schema.json").read_text())
    found["properties"]["settings"]["properties"] = settings_schema()
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def settings_schema() -> dict[str, Any]:
    """Describe every setting that an operator may give under `settings`."""
    known = Settings.model_json_schema()
    names = [name for name in known["properties"] if name not in OWNED]
    return {name: _property(known["properties"][name], known.get("$defs", {})) for name in names}


def _property(described_as: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in described_as.get("anyOf", [described_as]) if option.get("type") != "null"]
    one = {**described_as, **(options[0] if len(options) == 1 else {})}
    for reference in (one.get("$ref"), *(part.get("$ref") for part in one.get("allOf", ()))):
        if reference is not None:
            one = {**one, **definitions[reference.rsplit("/", 1)[1]]}
    found = {key: one[key] for key in _KEPT if key in one}
    if found.get("type") not in {"string", "integer", "number", "boolean"}:
        found = {"type": ["string", "integer", "number", "boolean"]}
    return {"description": described_as.get("description", ""), **found}


def main() -> None:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is not up to date")
    check = parser.parse_args().check
    stale = []
    for name, content in (("README.md", readme()), ("values.schema.json", schema())):
        path = CHART / name
        if not path.exists() or path.read_text() != content:
            stale.append(str(path.relative_to(CHART.parents[1])))
            if not check:
                path.write_text(content)
    if check and stale:
        raise SystemExit(f"not up to date: {', '.join(stale)}; run `make chart`")


if __name__ == "__main__":
    main()

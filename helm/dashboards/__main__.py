"""Write the dashboards as JSON; with --check, fail when they are not up to date.

python -m helm.dashboards [--check]
"""

import argparse
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from helm.dashboards.boards import BOARDS

TARGET = Path(__file__).parents[1] / "recorder" / "files" / "dashboards"


def main() -> None:
    """Parse the command line and do as it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    texts = {TARGET / f"{name}.json": _text(name) for name in BOARDS}
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    if check and stale:
        raise SystemExit(f"out of date: {', '.join(path.name for path in stale)}; run `make dashboards`")
    TARGET.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(texts[path])


def _text(name: str) -> str:
    return JSONEncoder(sort_keys=True, indent=2).encode(BOARDS[name]().build()) + "\n"


if __name__ == "__main__":
    main()

"""Run the demonstration and tell how it went: its last line on stdout is one JSON object."""

import argparse
import asyncio
import sys
from pathlib import Path

from recorder.errors import RecorderError
from recorder_service.cli.demo.conversation import DemoFailed, demonstrate
from recorder_service.cli.failures import CommandFailed
from recorder_service.cli.output import print_json


def main() -> None:
    """Exit with 0 only if every check passed."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder that the recording is kept in")
    out = parser.parse_args().out
    try:
        out.mkdir(parents=True, exist_ok=True)
        result = asyncio.run(demonstrate(out))
    except (DemoFailed, RecorderError, CommandFailed, OSError) as error:
        raise SystemExit(f"demo: {error}; the server's log is {out / 'server.log'}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    sys.stderr.write(f"demo: all checks passed; listen to {result['file']}\n")
    print_json(result)


if __name__ == "__main__":
    main()

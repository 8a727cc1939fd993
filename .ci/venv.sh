#!/bin/sh
# Make a virtual environment with a Python that Recorder runs on, or say what is missing.
# Usage: .ci/venv.sh DIRECTORY
set -eu

directory=$1
lowest="(3, 11)"

for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if "$python" -c "import sys; sys.exit(sys.version_info < $lowest)" 2>/dev/null; then
        found=$python
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "Recorder needs Python 3.11 or newer: install it, or name it as in: make setup PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if ! "$found" -c "import venv, ensurepip" 2>/dev/null; then
    version=$("$found" -c "import sys; print('%d.%d' % sys.version_info[:2])")
    echo "$found cannot make virtual environments; on Debian and Ubuntu install what is missing with:" >&2
    echo "    sudo apt-get install python$version-venv" >&2
    exit 1
fi
"$found" -m venv "$directory"

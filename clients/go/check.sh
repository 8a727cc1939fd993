#!/bin/sh
# Check the Go client: stubs up to date, format, vet, staticcheck, tests with the race detector against a real server.
# Usage: clients/go/check.sh [--generate]     with --generate: only write the stubs from proto/
set -eu
cd "$(dirname "$0")/../.."
root=$(pwd)

if ! command -v go >/dev/null; then
    echo "The Go client is not checked: go is missing; install Go 1.26 or newer" >&2
    [ -z "${CI:-}" ]
    exit
fi

generate() {
    .venv/bin/buf generate proto --template clients/go/buf.gen.yaml -o "$1"
}

if [ "${1:-}" = --generate ]; then
    rm -f clients/go/recorder/v1/*.pb.go
    generate clients/go
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
generate "$work"
diff -r "$work/recorder/v1" clients/go/recorder/v1 >&2 || {
    echo "the Go stubs are not up to date: run \`make go-proto\`" >&2
    exit 1
}

cd clients/go
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "not as gofmt has it: $unformatted" >&2; exit 1; }
# Everything is compiled once, with the race detector: its own flags would compile all packages once more.
export RECORDER_BIN="${RECORDER_BIN:-$root/.venv/bin/recorder}"
go build -modfile=tools/go.mod -o "$work/staticcheck" honnef.co/go/tools/cmd/staticcheck
GOFLAGS="$(go env GOFLAGS) -race"
export GOFLAGS
go vet ./...
"$work/staticcheck" ./...
go test -vet=off ./...

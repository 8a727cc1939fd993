#!/bin/sh
# Make .env for compose.yaml with fresh secrets, readable by its owner alone. An .env that exists is not overwritten.
set -eu
cd "$(dirname "$0")/../.."

if [ -e .env ]; then
    echo ".env exists and is kept; remove it to make new secrets (the stores keep the old ones: remove their volumes too)" >&2
    exit 1
fi
umask 077
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
{
    echo "RECORDER_ADMIN_TOKEN=recorder_admin_$(secret)"
    echo "POSTGRES_PASSWORD=$(secret)"
    echo "MINIO_PASSWORD=$(secret)"
    echo "GRAFANA_PASSWORD=$(secret)"
} >.env
echo "wrote .env; now: docker compose --profile monitoring up --build --wait"

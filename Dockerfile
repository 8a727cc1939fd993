# syntax=docker/dockerfile:1
# Recorder's image. The first stage makes wheels from the hashed lock, the second installs them and nothing else:
# no compiler, no pip, no index. It runs as user 10001 with a read-only root; /data and /tmp are what it writes to.

FROM python:3.12-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/runtime.lock requirements/runtime.lock
# Whatever is built later is built with what the lock names.
RUN python -m venv /tools \
    && /tools/bin/pip download --quiet --require-hashes --only-binary=:all: -r requirements/runtime.lock -d /wheels \
    && /tools/bin/pip install --quiet --no-index --find-links=/wheels --no-compile hatchling
COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY service service
RUN /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index -w /wheels ./clients/python . \
    && python -m venv --without-pip /opt/recorder \
    && /tools/bin/pip --python /opt/recorder/bin/python install --quiet --no-index --find-links=/wheels --no-compile recorder-service \
    && /opt/recorder/bin/python -m compileall -q /opt/recorder/lib

FROM python:3.12-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Recorder" \
    org.opencontainers.image.description="Call recording as a gRPC service" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore pip \
    && groupadd --gid 10001 recorder \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin recorder \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/recorder /opt/recorder
# A container is reached from outside: give RECORDER_TLS_CERT and RECORDER_TLS_KEY, or RECORDER_ALLOW_PLAINTEXT=true
# where something in front encrypts; without either Recorder refuses to start and says so.
ENV PATH=/opt/recorder/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    RECORDER_DATA_DIR=/data \
    RECORDER_HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 50051 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('RECORDER_METRICS_PORT', '9464') + '/healthz', timeout=4)"]
ENTRYPOINT ["recorder"]
CMD ["serve"]

# `make help` lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Where an environment forbids to keep bytecode, each of the hundreds of servers that tests start compiles itself anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
NODE := clients/typescript
NODE_MODULES := $(NODE)/node_modules/.installed
BASELINE := proto/baseline/recorder.binpb
# Scenarios, without their proofs, that go for several nodes as for one.
CLUSTER_SCENARIOS := $(addprefix tests/robustness/test_, kills.py several_nodes.py::test_killed_workers_lose_nothing \
	several_nodes.py::test_stale_owner_writes_nothing \
	vanished.py::test_vanished_callers_are_noticed_and_never_taken_for_a_hang_up)
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-package recorder-client --no-emit-package recorder-bridges

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@.ci/venv.sh $(VENV)

$(RUNTIME): requirements/runtime.lock pyproject.toml clients/python/pyproject.toml | $(BIN)/python
	@echo "installing what Recorder needs into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements/runtime.lock >&2
	@$(PIP) --no-deps --no-build-isolation -e clients/python -e . >&2
	@$(BIN)/python -m compileall -q service clients/python
	@touch $@

$(DEV): requirements/dev.lock clients/bridges/pyproject.toml $(RUNTIME)
	@echo "installing what development needs into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements/dev.lock >&2
	@$(PIP) --no-deps --no-build-isolation -e clients/bridges >&2
	@touch $@

.PHONY: setup
setup: $(DEV) ## Set up .venv for development

$(NODE_MODULES): $(NODE)/package-lock.json $(NODE)/package.json
	@echo "installing what the TypeScript client needs into $(NODE)/node_modules" >&2
	@cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
	@touch $@

.PHONY: demo
demo: $(RUNTIME) ## Record a call of two voices, and check its webhook, events and file
	@$(BIN)/python -m recorder_service.cli.demo

.PHONY: serve
serve: $(RUNTIME) ## Run a server on its default ports, with its data in ./data
	@$(BIN)/recorder serve

.PHONY: test
test: system-packages lint typescript go ## Everything: linters, types, contract, tests
	$(BIN)/pytest -q -n 3 --ignore=tests/robustness
	$(BIN)/pytest -q -m "not slow" tests/robustness

.PHONY: e2e-cluster
e2e-cluster: system-packages $(DEV) ## End-to-end tests and quick robustness scenarios on PostgreSQL + MinIO, 3 nodes (ten minutes)
	RECORDER_TEST_CATALOG=postgresql RECORDER_TEST_STORE=minio RECORDER_TEST_NODES=3 \
		$(BIN)/pytest -q -n 2 tests/e2e $(CLUSTER_SCENARIOS)

.PHONY: minio
minio: $(DEV) ## Build a real MinIO server for the tests, once a machine (ten minutes, needs Go)
	@$(BIN)/python -m tests.harness.minio

.PHONY: go-tools
go-tools: $(DEV) ## Build Helm and the decoders that the chart's tests use, once a machine (five minutes, needs Go)
	@$(BIN)/python -m tests.harness.go_tools

.PHONY: robustness
robustness: system-packages $(DEV) ## The long runs: kills, faults, floods; prints a table and one JSON line (over an hour)
	$(BIN)/python -m tests.robustness

.PHONY: robustness-proofs
robustness-proofs: system-packages $(DEV) ## Every quick scenario, and that each finds the bugs planted for it (ten minutes)
	$(BIN)/pytest -q tests/robustness

.PHONY: bench
bench: system-packages $(DEV) ## Cost and speed against floors and peers, 8 minutes; QUICK=1: 90 s; COMPARE=old.jsonl
	$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(if $(RUNS),--runs $(RUNS)) $(if $(COMPARE),--compare $(COMPARE))

.PHONY: typescript
typescript: $(DEV) $(NODE_MODULES) ## The TypeScript client: messages up to date, types, style, tests against a server
	cd $(NODE) && npm run --silent generate:check && npm run --silent build
	cd $(NODE) && npm run --silent lint && npm test --silent

.PHONY: typescript-proto
typescript-proto: $(DEV) $(NODE_MODULES) ## Generate the TypeScript of the contract
	cd $(NODE) && npm run --silent generate

.PHONY: lint
lint: $(DEV) proto-check docs-check chart-check dashboards-check ## Check style, types, the contract and what is generated
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(DEV) ## Put the code into its format
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

.PHONY: proto
proto: $(DEV) ## Generate the Python stubs of the contract
	$(BIN)/python proto/generate.py

.PHONY: proto-check
proto-check: $(DEV) ## Check the contract: style, compatibility with its baseline, stubs up to date
	$(BIN)/buf lint proto
	$(BIN)/buf breaking proto --against $(BASELINE)
	$(BIN)/python proto/generate.py --check

.PHONY: go
go: $(DEV) ## Check the Go client: stubs, vet, staticcheck, tests with the race detector
	clients/go/check.sh

.PHONY: go-proto
go-proto: $(DEV) ## Generate the Go stubs of the contract
	clients/go/check.sh --generate

.PHONY: baseline
baseline: $(DEV) ## Take the contract as it stands as what must not be broken (with a release)
	$(BIN)/buf build proto -o $(BASELINE)

.PHONY: docs-check
docs-check: $(DEV) ## Check that the generated tables of the documentation are up to date
	$(BIN)/python docs/tables.py --check

.PHONY: docs
docs: $(DEV) ## Write the tables of the documentation from the code
	$(BIN)/python docs/tables.py

.PHONY: chart-check
chart-check: $(DEV) ## Check that the chart's README and schema are up to date
	$(BIN)/python helm/chart.py --check

.PHONY: chart
chart: $(DEV) ## Write the chart's README and schema from its values and the service's settings
	$(BIN)/python helm/chart.py

.PHONY: dashboards
dashboards: $(DEV) ## Build the Grafana dashboards from their code
	$(BIN)/python -m helm.dashboards

.PHONY: dashboards-check
dashboards-check: $(DEV) ## Check that the built dashboards are up to date
	$(BIN)/python -m helm.dashboards --check

.PHONY: lock
lock: $(DEV) ## Resolve the requirements anew and write the lock files
	$(UV_COMPILE) --group build pyproject.toml -o requirements/runtime.lock
	$(UV_COMPILE) --group build --extra otel -c requirements/runtime.lock pyproject.toml -o requirements/otel.lock
	$(UV_COMPILE) --group build --group dev --extra otel -c requirements/otel.lock pyproject.toml -o requirements/dev.lock

.PHONY: system-packages
system-packages: ## Install the system packages that the tests use (as root; otherwise say which are missing)
	@.ci/system-packages.sh

.PHONY: clean
clean: ## Remove what make made, except the locks
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-out $(NODE)/node_modules $(NODE)/dist

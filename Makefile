# Targets that people use; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint bench badinput test-cluster cluster-packages cluster-up cluster-down helm manifests proto clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -e '.[dev]'
	touch $@

venv: $(VENV)/.installed ## .venv with all that tests and benches need (torch included: 6 GB)

# The demo's own environment: Python, ONNX Runtime and a web server, 60 packages fewer than .venv.
.venv-demo/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet -e '.[server,onnx,cli]'
	touch $@

demo: .venv-demo/.installed ## serve the digits model here, under bursts, with a floor that moves
	.venv-demo/bin/everwarm up examples/digits --load bursts --min-replicas 0 --policy paper

test: venv lint ## lint, types, import contracts, unit and contract tests
	$(BIN)/python -m pytest

lint: venv ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: venv ## all beside peers and limits; BENCH_FLAGS=--quick bounds each to 5 minutes, --json FILE collects the goals
	$(BIN)/python -m bench $(BENCH_FLAGS)

badinput: venv ## 20,000 damaged requests for a server, where `make test` sends 2,000
	EVERWARM_BADINPUT_CASES=20000 $(BIN)/python -m pytest tests/contract/server/badinput/test_generated.py -s

test-cluster: venv ## the real Kubernetes + Knative: needs root, or a KUBECONFIG
	PYTHONPATH=tests/cluster $(BIN)/python -m harness helm
	$(BIN)/python -m pytest tests/chart tests/cluster --timeout 1200 -v

cluster-packages: venv ## install what the cluster tests need of Debian (root)
	PYTHONPATH=tests/cluster $(BIN)/python -m harness packages

cluster-up: venv ## start the local cluster and leave it running
	PYTHONPATH=tests/cluster $(BIN)/python -m harness up

cluster-down: venv ## stop it
	PYTHONPATH=tests/cluster $(BIN)/python -m harness down

helm: venv ## path of helm, built with Go if this machine has none
	@PYTHONPATH=tests/cluster $(BIN)/python -m harness helm

manifests: venv ## write all that is derived from the chart and the code: the definition, manifests/, the chart's README
	$(BIN)/python charts/generate.py --helm "$$($(MAKE) -s helm)"

PROTO := server/everwarm_server/protocol/proto
proto: venv ## compile the messages of gRPC
	$(BIN)/python -m grpc_tools.protoc -I$(PROTO) --include_imports --descriptor_set_out=$(PROTO)/descriptors.binpb \
		inference.proto model_config.proto status.proto

clean: ## remove what make made here
	rm -rf .venv .venv-demo build dist

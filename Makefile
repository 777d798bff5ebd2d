# kerf. `make help` lists what can be done; everything else sets itself up first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Any of Python 3.11-3.13: `make setup PYTHON=python3.12`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Paths are relative throughout, so that the clone may lie anywhere, spaces included.
PYTEST := $(BIN)/python -m pytest
SOURCES := libs services tests .ci $(wildcard models bench deploy)

.PHONY: help setup demo test test-install test-chaos soak test-gpu lint protos models bench-setup bench k8s-check clean clean-all

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv with everything in it (once; about 2 GB of disk); the other targets call it
	@"$(PYTHON)" .ci/setup_env.py

demo: setup ## start the embedded stack, make laser files from a prompt and from a photograph, into out/
	@$(BIN)/kerf demo --out out

test: setup ## all tests that need no GPU, no root and no registry (less than 10 minutes on 2 cores)
	@$(PYTEST) -m "not chaos and not gpu and not install and not root" $(ARGS)

test-install: setup ## each light package alone in a clean environment, without torch (uses the registry)
	@$(PYTEST) -m install tests/install $(ARGS)

test-chaos: setup ## processes are killed while jobs run; long tests (what needs root or a GPU runs where there is one)
	@$(PYTEST) -m chaos $(ARGS)

soak: setup ## jobs under schedules of faults, each judged afterwards: make soak SCHEDULES=20 (6 minutes each)
	@PYTHONPATH=tests:. $(BIN)/python -m chaos.faults --schedules $(or $(SCHEDULES),1) $(ARGS)

test-gpu: setup ## the tests that need an NVIDIA GPU
	@$(PYTEST) -m gpu $(ARGS)

lint: setup ## formatter, linter, strict types, import rules, protos
	@echo "lint: format"
	@$(BIN)/ruff format --check --quiet $(SOURCES) || { $(BIN)/ruff format --diff --quiet $(SOURCES); exit 1; }
	@echo "lint: ruff"
	@$(BIN)/ruff check --quiet $(SOURCES)
	@echo "lint: mypy --strict"
	@$(BIN)/mypy --no-error-summary $(SOURCES)
	@echo "lint: import rules"
	@$(BIN)/lint-imports --no-logo
	@echo "lint: protos"
	@./protos/lint.sh
	@echo "lint: clean"

protos: setup ## write libs/kerf_proto from protos/
	@./protos/generate.sh

models: setup ## train and measure the shipped starter models again (two hours on 2 cores)
	@PYTHONPATH=models/starter $(BIN)/python -m kerf_starter

bench-setup: setup ## make the peers' own environments for the benches (uses the registry)
	@$(BIN)/python -m bench.peers.setup

bench: setup ## run every bench, or one: make bench NAME=overhead ARGS=--quick
	@for name in $(or $(NAME),$(filter-out _% optimizer_%,$(basename $(notdir $(wildcard bench/*.py))))); do \
	    $(BIN)/python -m "bench.$$name" $(ARGS); \
	done

k8s-check: setup ## render and check the manifests, the Dockerfiles and the compose file (needs kubectl)
	@$(BIN)/python -m deploy.checks

clean: ## remove what the targets made, except .venv
	@rm -rf build out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find libs services tests models bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

clean-all: clean ## remove .venv too
	@rm -rf .venv

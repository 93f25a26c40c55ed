# Every chore of mq. On a fresh machine Python 3.11 with pip, make and git are enough for
# `make demo` and `make test`: each word sets up .venv first, from the pins in constraints.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
WORKERS ?= 2
PYTEST_ARGS ?=

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check interop bench docs clean

help: ## say what each word does
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## create .venv with everything pinned (each word does this by itself)

# The stamp is as old as the last complete set-up; new pins or new dependencies renew it.
.venv/.ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mq needs Python 3.11 or later")'
	@echo "setting up .venv from constraints.txt (about a minute, once)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv && \
	  $(PYTHON) -m venv --without-pip .venv && \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt pip
	@$(BIN)/python -m pip install -qq --constraint constraints.txt \
	  --build-constraint constraints.txt --group dev --editable .
	@touch $@

demo: setup ## run the main job: three services on the embedded broker, as real processes
	$(BIN)/python -m examples.orders

test: setup ## run the tests on the embedded broker
	$(PYTEST) --ignore=tests/interop

check: setup ## lint, types, layers, house rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.tidy

# Java 17, Maven and kcat are needed here; what is missing fails, nothing is skipped.
interop: setup ## real clients against our broker, and our tests against Apache Kafka
	command -v kcat || { apt-get update -qq && apt-get install -y -qq kcat; }
	$(BIN)/python -m tools.apache_kafka classpath
	$(PYTEST) tests/interop
	$(PYTEST) --ignore=tests/interop --engine kafka

bench: setup ## measure against Apache Kafka and a bare consumer loop (minutes)
	$(BIN)/python -m bench.wire
	$(BIN)/python -m bench.broker
	$(BIN)/python -m bench.handlers

docs: setup ## build the documentation into site/, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "docs: site/index.html"

clean: ## remove what the other words made
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# Every chore of mq. On a fresh machine Python 3.11 with pip, make and git are enough for
# `make demo` and `make test`: each word sets up .venv first, from the pins in constraints.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
WORKERS ?= 2
PYTEST_ARGS ?=

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

# Programs start in half the time from compiled modules, and the tests start many.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test model check interop crash bench bench-broker docs clean

help: ## say what each word does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

# Apart, as they think for minutes: the crash model and the bugs it must find.
MODEL := tests/testing tests/log/test_power_loss.py

test: setup ## run the tests on the embedded broker
	$(PYTEST) --ignore=tests/interop $(MODEL:%=--ignore=%)

model: setup ## crash a modelled disk some ten thousand times, and find planted bugs
	$(PYTEST) $(MODEL)

check: setup ## lint, types, layers, house rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.tidy

# Java 17, Maven, Go, Node, gcc and kcat are needed here; what is missing fails, nothing is skipped.
interop: setup ## real clients against our broker, and our tests against Apache Kafka
	command -v kcat || { apt-get update -qq && apt-get install -y -qq kcat; }
	@for tool in java mvn go node npm gcc unshare; do \
	  command -v $$tool >/dev/null || { echo "interop: $$tool is needed and missing" >&2; exit 1; }; done
	$(BIN)/python -m tools.apache_kafka classpath
	$(PYTEST) --dist loadgroup tests/interop
	$(PYTEST) --ignore=tests/interop $(MODEL:%=--ignore=%) --engine kafka

# Goes on where an earlier run was interrupted; remove .crash/ to begin anew. Cutting the power of a
# file system takes root and loop devices: where they are missing it says so, and make fails.
crash: setup ## a million modelled crashes, 1,000 kills, 200 cuts of the power (two hours)
	mkdir -p .crash
	$(BIN)/python -m tools.crash_model --states 1000000 --resume .crash/model.json
	$(BIN)/python -m tools.kill_loop --count 1000 --resume .crash/kills.json
	$(BIN)/python -m tools.power_loop --count 200

bench: bench-broker ## measure all: broker, codec, handlers (the better part of an hour)
	$(BIN)/python -m bench.wire
	$(BIN)/python -m bench.handlers

# Wants a quiet machine, Java 17, Maven and 30 GB of disk; puts the figures into docs/.
bench-broker: setup ## measure the broker against Apache Kafka (half an hour)
	$(BIN)/python -m bench.broker --write

docs: setup ## build the documentation into site/, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "docs: site/index.html"

clean: ## remove what the other words made
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

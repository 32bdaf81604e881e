# `make` lists what can be done. Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# PyTorch's own index of CPU builds: without it pip would fetch several GB of CUDA packages.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TOCSIN := $(BIN)/tocsin
.DEFAULT_GOAL := help
.PHONY: help setup up test test-services lint fmt check

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 18

setup: .venv/.complete  ## make .venv and install what constraints.txt names

.venv/.complete: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --retries 1 --extra-index-url $(TORCH_INDEX) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

up: setup  ## run the embedded service with its demo streams, at http://127.0.0.1:8600
	$(TOCSIN) up

test: setup  ## unit, property, contract tests and doctests, and what services are at hand
	$(BIN)/pytest -q

test-services: setup  ## the tests that need Kafka and PostgreSQL; fails if one of these is missing
	TOCSIN_TEST_REQUIRE=kafka,postgres $(BIN)/pytest -q -s -m "kafka or postgres or drill" tests

lint: setup  ## ruff, mypy and import-linter; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup  ## ruff format, ruff check --fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint test  ## green before every commit; CI runs this and test-services

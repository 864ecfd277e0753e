# Everything a person or CI does here. `make demo` and `make test` are enough to begin with.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := podium/.venv/bin
PYTEST := cd podium && .venv/bin/pytest

.PHONY: help setup demo up test test-unit test-contract test-integration test-e2e test-crash test-api test-reconnects check format reference bench clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install everything into podium/.venv
	@podium/setup.sh

demo: setup ## Start the platform, deploy an agent, talk to it, kill it, put it to sleep, wake it
	@$(BIN)/python examples/demo.py

up: setup ## Run the platform on this machine until Ctrl-C
	@$(BIN)/podium up

test: setup check ## All tests, with real parts
	@$(PYTEST)

test-unit test-contract test-integration test-e2e: test-%: setup ## One kind of tests
	@$(PYTEST) tests/$*

test-api: setup ## Schemathesis over the API; N=500 for more requests, SEED= for the same ones again
	@$(PYTEST) tests/e2e/test_api.py

test-reconnects: setup ## N=10000 connections cut at random bytes while agents stream
	@cd podium && RECONNECTS=$(or $(N),10000) .venv/bin/pytest -s tests/crash/test_reconnects.py

test-crash: setup ## What survives when everything dies; N=2000 for so many points, SEED=7 for a certain run
	@$(PYTEST) tests/crash

check: setup ## Format, lint, types, direction of imports
	@cd podium && .venv/bin/ruff format --check --quiet . ../examples ../benchmarks && .venv/bin/ruff check --quiet . ../examples ../benchmarks
	@cd podium && .venv/bin/mypy
	@cd podium && .venv/bin/lint-imports --no-cache >/dev/null || .venv/bin/lint-imports --no-cache

format: setup ## Rewrite the code in our format
	@cd podium && .venv/bin/ruff format . ../examples ../benchmarks && .venv/bin/ruff check --fix . ../examples ../benchmarks

reference: setup ## Write the generated pages of docs/reference
	@$(BIN)/python -m podium.reference docs/reference

bench: setup ## Turns and streamed events per second, accept latency, wake; results in benchmarks/results
	@$(BIN)/python benchmarks/durability.py
	@$(BIN)/python benchmarks/turns.py
	@$(BIN)/python benchmarks/streams.py

clean: ## Remove what was installed and built
	@rm -rf podium/.venv podium/.mypy_cache podium/.ruff_cache podium/.pytest_cache podium/.hypothesis

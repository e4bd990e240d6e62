# The verbs of this repository. `make` tells them.
BIN := .venv/bin
UV ?= uv

.DEFAULT_GOAL := help
.PHONY: help check format test bench bench-memory docs pins

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: ## lint, types and floors (seconds)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: ## lay the code out
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

test: ## all tests, the real client's included (./setup.sh --test fetches it)
	$(BIN)/python -m pytest

bench: ## hooks, server and audited reveals, each beside its floor
	$(BIN)/python -m benchmarks

bench-memory: ## the memory on data of yours: make bench-memory DATA=DIR [TRANSCRIPTS= MANIFEST= SECRETS= LOCOMO= SCALE= ROUNDS= PARTS=]
	@test build/bench/.done -nt requirements-bench.txt || { rm -rf build/bench && \
	  $(BIN)/python -m pip install --quiet --require-hashes --target build/bench -r requirements-bench.txt && touch build/bench/.done; }
	PYTHONPATH=build/bench $(BIN)/python -m benchmarks.memory $(PARTS) $(if $(DATA),--data $(DATA)) $(if $(TRANSCRIPTS),--transcripts $(TRANSCRIPTS)) \
	  $(if $(MANIFEST),--manifest $(MANIFEST)) $(if $(SECRETS),--secrets $(SECRETS)) $(if $(LOCOMO),--locomo $(LOCOMO)) \
	  $(if $(SCALE),--scale $(SCALE)) $(if $(ROUNDS),--rounds $(ROUNDS))

docs: ## write the reference pages from the program, then check that everything is documented
	$(BIN)/python docs/write_reference.py
	CLAUDETOOLS_WRITE_DOCS=1 $(BIN)/python -m pytest -q tests/server/test_docs.py
	$(BIN)/python -m pytest -q tests/docs

pins: ## resolve the newest versions that pyproject.toml allows and write requirements*.txt with their hashes
	$(UV) pip compile $(PINS) pyproject.toml --group build -o requirements.txt
	$(UV) pip compile $(PINS) --group dev -c requirements.txt -o requirements-dev.txt
	$(UV) pip compile $(PINS) --group client -o requirements-client.txt
	$(UV) pip compile $(PINS) --group bench -o requirements-bench.txt

PINS := --upgrade --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links

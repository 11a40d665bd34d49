# Thin on purpose: each target is one command that also works without make. CI calls only these.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-rest test-all lint types format image bench docs docs-check clean

PYTEST := .venv/bin/python -m pytest -n 2 --dist loadfile
NEEDS_MORE := docker or bubblewrap or vllm or browser or slow or tool

help: ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: ## make .venv as uv.lock says, and say where heats is
	@scripts/setup $(if $(filter setup,$(MAKECMDGOALS)),,--quiet)

demo: setup ## run the main job on built-in tasks (ARGS="--seed 1" adds flags)
	@flags=$$(scripts/sandbox-setup) && .venv/bin/heats demo $$flags $(ARGS)

test: setup ## quick tests: no Docker, no bubblewrap, no network, no other program
	@$(PYTEST) -m "not ($(NEEDS_MORE))" $(ARGS)

test-rest: setup ## the tests that `make test` leaves out
	@$(PYTEST) -m "$(NEEDS_MORE)" $(ARGS)

test-all: setup ## every test; those whose tool is missing are skipped and say so
	@$(PYTEST) $(ARGS)

lint: setup ## ruff, and its formatter as a check
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: setup ## mypy, strict
	@.venv/bin/mypy

format: setup ## rewrite files the way `make lint` wants them
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .

image: ## make the Docker image heats-base:latest where it is missing
	@scripts/base-image

bench: setup ## measure speed and selection quality (ONLY=selection for one of them)
	@set -e; for file in $$(grep -l '^if __name__' benchmarks/$(or $(ONLY),*).py); do \
		echo "== $$file"; .venv/bin/python -m "benchmarks.$$(basename $$file .py)" $(ARGS); \
	done

docs: setup ## write the pages that the program itself knows best
	@.venv/bin/python scripts/cli-docs

docs-check: setup ## fail when those pages are not what the program says
	@.venv/bin/python scripts/cli-docs --check

clean: ## remove what these targets made here (not runs/)
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

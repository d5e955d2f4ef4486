# Every target sets up what it needs: Python 3.10 or newer, make and Maven are enough to begin with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONDUCTOR ?= sqlite
STORE ?= sqlite
INSTALLED := $(VENV)/.installed
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup
JOBS ?= auto
IMAGE_EXTRAS := postgres notify otel

.DEFAULT_GOAL := help
.PHONY: help demo run test test-long cluster lint docs lock bench acceptance setup docs-site clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Play the Slack example on a real Conductor server (or that of CONDUCTOR_SERVER_URL), with a store of its own
	@$(BIN)/python -m demo

run: $(INSTALLED) ## Keep Conductor, relay, worker and admin page running until Ctrl-C, on the store of BRIDGE_DATABASE
	@$(BIN)/python -m demo.run

test: $(INSTALLED) lint ## Every check, and every test but the long ones, those on a real Conductor server included
	@$(BIN)/python -m testkit.conductor
	$(PYTEST) -m "not long and not cluster"

test-long: $(INSTALLED) ## The long tests, and on a Conductor server with PostgreSQL those that depend on what is behind it
	@$(BIN)/python -m testkit.conductor
	$(PYTEST) -m long
	TEST_CONDUCTOR=postgres $(PYTEST) tests/acceptance -m server

acceptance: $(INSTALLED) ## Only the tests on a real server: CONDUCTOR=sqlite, postgres, cluster or redis-es; STORE=sqlite or postgres
	@$(BIN)/python -m testkit.conductor
	TEST_CONDUCTOR=$(CONDUCTOR) TEST_STORE=$(STORE) $(PYTEST) tests/acceptance

cluster: $(INSTALLED) ## The chart on the Kubernetes of KUBECONFIG, whose nodes have the image TEST_CLUSTER_IMAGE=REPOSITORY:TAG
	@$(BIN)/python -m testkit.conductor
	$(BIN)/python -m pytest -m cluster tests/cluster

lint: $(INSTALLED) ## Style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy -p demo -p testkit -p bench -p release
	$(BIN)/lint-imports

docs: $(INSTALLED) ## Write what is made of the platforms' folders: docs/platforms.md and the JSON Schema
	$(BIN)/python -m platforms.guide > docs/platforms.md
	$(BIN)/webhook-bridge schema > config/webhooks.schema.json

docs-site: $(INSTALLED) ## Build the documentation as a website, build/site/index.html; anything wrong in it is an error
	$(BIN)/python -m release site build/site

# For Python 3.10 and newer on every platform; the image's own is one of them. pip is a dependency of sqlite-utils' own
# command line, which nobody runs here.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.10 --generate-hashes --no-header --no-annotate --no-emit-package pip --quiet

lock: $(INSTALLED) ## Choose anew what the image installs, within what pyproject.toml allows
	$(LOCK) --upgrade pyproject.toml $(patsubst %,--extra %,$(IMAGE_EXTRAS)) --output-file deploy/requirements.txt
	echo 'setuptools>=77' | $(LOCK) --upgrade - --output-file deploy/requirements-build.txt

bench: $(INSTALLED) ## The benchmarks
	@$(BIN)/python -m testkit.conductor
	@$(BIN)/python -m bench

setup: $(INSTALLED) ## Only the set-up: virtual environment and Conductor's jar
	@$(BIN)/python -m testkit.conductor

clean: ## Remove what was made here, but no data
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# The stamp is written last, so an interrupted installation is done again.
$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON): install Python 3.10 or newer, or name yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), and 3.10 or newer is needed: make PYTHON=python3.12, for example" >&2; exit 1; }
	@echo "Setting up the virtual environment $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) can't make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	@touch $@

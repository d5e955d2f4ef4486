# Every target sets up what it needs: Python 3.10 or newer, make and Maven are enough to start with, and git for the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONDUCTOR ?= sqlite
STORE ?= sqlite
SECONDS ?= 60
EXAMPLES ?= 10
HOURS ?= 2
INSTALLED := $(VENV)/.installed
LOCKED := requirements-dev.txt
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --durations 25 --durations-min 5
JOBS ?= auto
IMAGE_EXTRAS := postgres notify otel
# The tests start hundreds of processes: without its cache, Python would compile the modules anew in each of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo run test test-long fast storms soak examples judges cluster lint docs lock bench acceptance setup docs-site pictures clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Play the Slack example on a real Conductor server (or that of CONDUCTOR_SERVER_URL); KILL=1: kill the worker in the middle
	@$(BIN)/python -m tools.demo $(if $(KILL),--kill)

run: $(INSTALLED) ## Keep Conductor, relay, worker and admin page running until Ctrl-C, on the store of BRIDGE_DATABASE
	@$(BIN)/python -m tools.demo.run

test: $(INSTALLED) lint ## All checks, and all tests but the long ones, including those on a real Conductor server
	@$(BIN)/python -m tools.servers.conductor
	$(PYTEST) -m "not long and not cluster"

# Only modules that have some, by a mark or by their stores: to collect all tests takes each process many seconds.
LONG = $(sort $(shell grep -rlE --include='test_*.py' 'mark\.long|^STORES =' tests))
SERVER = $(sort $(shell grep -rlF --include='test_*.py' 'mark.server' tests))

test-long: $(INSTALLED) ## The long tests; those that depend on Conductor's backend on PostgreSQL
	@$(BIN)/python -m tools.servers.conductor
	$(PYTEST) -m "long and not server" $(LONG)
	TEST_CONDUCTOR=postgres $(PYTEST) -m server $(SERVER)

fast: $(INSTALLED) ## Tests without servers, for another Python: make fast VENV=.venv-3.10 PYTHON=python3.10
	$(PYTEST) -m "not long" tests/criteria tests/config tests/platforms tests/deploy/test_wheel.py

storms: $(INSTALLED) ## The storms of killed processes and broken calls, each for SECONDS (60); with CONDUCTOR and STORE as below
	@$(BIN)/python -m tools.servers.conductor
	TEST_STORM_SECONDS=$(SECONDS) TEST_CHAOS_RATE=100 TEST_CONDUCTOR=$(CONDUCTOR) TEST_STORE=$(STORE) \
	  $(BIN)/python -m pytest -s -m storm tests/acceptance tests/chaos tests/worker

soak: $(INSTALLED) ## HOURS (2, or a fraction) on each store: 50 events a second, everything killed, cut, filled and stepped, all effects counted; as root
	@$(BIN)/python -m tools.servers.conductor
	@$(BIN)/python -m tools.soak --hours $(HOURS) $(if $(filter command%,$(origin STORE)),--store $(STORE))

examples: $(INSTALLED) ## The property tests, with EXAMPLES (10) times as many examples as in the other targets
	TEST_EXAMPLES=$(EXAMPLES) $(PYTEST) -m examples

acceptance: $(INSTALLED) ## Only the tests on a real server: CONDUCTOR=sqlite, postgres, cluster or redis-es; STORE=sqlite or postgres
	@$(BIN)/python -m tools.servers.conductor
	TEST_CONDUCTOR=$(CONDUCTOR) TEST_STORE=$(STORE) $(PYTEST) tests/acceptance

judges: $(INSTALLED) ## Ask the platforms' libraries in JavaScript and Go again, and record their verdicts
	mkdir -p build/judges/n8n && cp tests/platforms/judged/npm/* build/judges
	cd build/judges && npm install --ignore-scripts --no-audit --no-fund && \
	  tar xzf "$$(npm pack --silent n8n-nodes-base@2.41.2)" -C n8n
	cd tests/platforms/judged/go && go build -o $(CURDIR)/build/judges/go .
	$(BIN)/python -m tests.platforms.judged -- node build/judges/judges.mjs
	$(BIN)/python -m tests.platforms.judged -- build/judges/go

cluster: $(INSTALLED) ## The chart on the Kubernetes of KUBECONFIG, whose nodes have the image TEST_CLUSTER_IMAGE=REPOSITORY:TAG
	@$(BIN)/python -m tools.servers.conductor
	$(BIN)/python -m pytest -m cluster tests/cluster

lint: $(INSTALLED) ## Style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED) ## Generate the table of docs/platforms.md and the JSON Schema from the platforms' folders
	$(BIN)/python -m platforms.guide docs/platforms.md
	$(BIN)/webhook-bridge schema > config/webhooks.schema.json

pictures: $(INSTALLED) ## Take the documentation's pictures anew, of a bridge with a week of traffic (needs Chromium)
	$(BIN)/python -m tests.support.browser

docs-site: $(INSTALLED) ## Build the documentation as a website, build/site/index.html; anything wrong in it is an error
	$(BIN)/python -m tools.release site build/site

# For Python 3.10 and newer on every platform, including the image's. pip is a dependency of sqlite-utils' command line,
# which isn't used here. Extras are named: an old pip takes a name with an extra for one that isn't locked.
LOCK := $(BIN)/uv pip compile --no-strip-extras --universal --python-version 3.10 --generate-hashes --no-header --no-annotate --no-emit-package pip --quiet $(UPGRADE)

lock: $(INSTALLED) ## Update the locked dependencies after a change of pyproject.toml; UPGRADE=--upgrade: to the newest versions
	$(LOCK) pyproject.toml --extra dev --output-file $(LOCKED)
	$(LOCK) pyproject.toml $(patsubst %,--extra %,$(IMAGE_EXTRAS)) --constraint $(LOCKED) --output-file deploy/requirements.txt
	echo 'hatchling>=1.27' | $(LOCK) - --constraint $(LOCKED) --output-file deploy/requirements-build.txt

bench: $(INSTALLED) ## The benchmarks
	@$(BIN)/python -m tools.servers.conductor
	@$(BIN)/python -m tools.bench

setup: $(INSTALLED) ## Only set up: virtual environment and Conductor's jar
	@$(BIN)/python -m tools.servers.conductor

clean: ## Remove everything generated here, but no data
	rm -rf $(VENV) .venv-* build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# A mirror of PyPI and an authority of one's own, for pip and uv alike, whichever of the two they are set for.
export UV_SYSTEM_CERTS := 1
ifneq ($(PIP_INDEX_URL),)
export UV_DEFAULT_INDEX := $(or $(UV_DEFAULT_INDEX),$(PIP_INDEX_URL))
endif
ifneq ($(PIP_CERT)$(SSL_CERT_FILE),)
$(INSTALLED) lock: export SSL_CERT_FILE := $(or $(SSL_CERT_FILE),$(PIP_CERT))
$(INSTALLED): export PIP_CERT := $(or $(PIP_CERT),$(SSL_CERT_FILE))
endif

# uv takes a tenth of pip's time, but doesn't read pip's configuration files. Where it fails, pip does it.
PIP := $(BIN)/python -m pip
LIBRARIES := install --require-hashes --no-deps --requirement $(LOCKED)
PROJECT := install --no-deps --no-build-isolation --editable .
BY_UV := sed -n '/^uv==/,/[^\\]$$/p' $(LOCKED) > $(VENV)/uv.txt \
  && $(PIP) install --disable-pip-version-check --quiet --require-hashes --requirement $(VENV)/uv.txt \
  && $(BIN)/uv pip $(LIBRARIES) --python $(BIN)/python && $(BIN)/uv pip $(PROJECT) --python $(BIN)/python
BY_PIP := $(PIP) $(LIBRARIES) --disable-pip-version-check && $(PIP) $(PROJECT) --disable-pip-version-check
INSTALL := { ! $(PIP) config list | grep -v '^:env:.index-url' | grep -q index && $(BY_UV); } || { $(BY_PIP); }

IS_RECENT := 'import sys; sys.exit(sys.version_info < (3, 10))'

# The stamp is written last, so an interrupted installation is repeated. An environment whose Python is gone or too old is
# made anew: venv would leave that Python in it.
$(INSTALLED): pyproject.toml $(LOCKED)
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON): install Python 3.10 or newer, or name yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c $(IS_RECENT) || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), and 3.10 or newer is needed: make PYTHON=python3.12, for example" >&2; exit 1; }
	@echo "Setting up the virtual environment $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $$($(BIN)/python -c $(IS_RECENT) 2>/dev/null || echo --clear) $(VENV) || { \
	  echo "$(PYTHON) can't make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(INSTALL)
	@touch $@

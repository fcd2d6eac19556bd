# The task runner: the same words on a laptop and in CI. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3.11
ifeq (,$(shell command -v $(PYTHON)))
PYTHON := python3
endif
BIN := .venv/bin
STAMP := .venv/stamps
PIP := $(BIN)/pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --require-hashes --no-deps
PACKAGES := panelgate access relay webproxy agent demo
FUXA_VERSION := 1.3.4
FUXA := .cache/fuxa-$(FUXA_VERSION)
NODE_RED_VERSION := 4.1.8
NODE_RED := .cache/node-red-$(NODE_RED_VERSION)
NODE_RED_NODES := node-red-dashboard@3.6.6 @flowfuse/node-red-dashboard@1.31.0
AXE_VERSION := 4.10.3
AXE := .cache/axe-core-$(AXE_VERSION)
APT := chromium tigervnc-standalone-server tigervnc-tools xvfb openssl x11-apps x11-utils x11-xserver-utils xdotool postgresql \
       iproute2 wrk nginx-light lighttpd openssh-server curl
PIP_TOOLS := pip-tools==7.6.2
COMPILE := .cache/pins/bin/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-header \
           --annotation-style=line --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "  make bench-NAME   Run one benchmark: $(patsubst bench/%.py,%,$(BENCHES))"

# --- installing ------------------------------------------------------------------------------------------------------

$(STAMP)/venv:
	@command -v $(PYTHON) >/dev/null || { echo "Panelgate needs Python 3.11 or newer (PYTHON=… to name it)."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Panelgate needs Python 3.11 or newer; $(PYTHON) is older. Name another one: make PYTHON=…"; exit 1; }
	$(PYTHON) -m venv .venv
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/server: $(STAMP)/venv requirements/build.txt requirements/server.txt pyproject.toml
	$(INSTALL) -r requirements/build.txt
	$(INSTALL) -r requirements/server.txt
	@mkdir -p static/vendor
	$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(STAMP)/dev: $(STAMP)/server requirements/dev.txt
	$(INSTALL) -r requirements/dev.txt
	@touch $@

$(STAMP)/npm: static/package.json static/package-lock.json | $(STAMP)/venv
	@command -v npm >/dev/null || { echo "The pages' parts come by npm: install Node.js 20 or newer."; exit 1; }
	npm ci --prefix static --no-audit --no-fund --loglevel=error
	@touch $@

# vendor.py reads which icons the pages name: it runs again when a page changes.
$(STAMP)/vendor: $(STAMP)/npm tools/vendor.py $(shell find webproxy static/js -name '*.html' -o -name '*.py' -o -name '*.js')
	$(BIN)/python tools/vendor.py
	@touch $@

.PHONY: setup
setup: $(STAMP)/server $(STAMP)/vendor ## Install what `make run` needs, into .venv and static/vendor

$(FUXA)/installed:
	npm install --prefix $(FUXA) --no-audit --no-fund --loglevel=error @frangoteam/fuxa@$(FUXA_VERSION)
	@touch $@

$(NODE_RED)/installed:
	npm install --prefix $(NODE_RED) --no-audit --no-fund --loglevel=error node-red@$(NODE_RED_VERSION) $(NODE_RED_NODES)
	@touch $@

$(AXE)/installed:
	npm install --prefix $(AXE) --no-audit --no-fund --loglevel=error axe-core@$(AXE_VERSION)
	@touch $@

.PHONY: programs
programs:
	@bash tools/apt.sh $(APT)

.PHONY: setup-test
setup-test: setup programs $(STAMP)/dev $(FUXA)/installed $(NODE_RED)/installed $(AXE)/installed ## Install what the tests need besides (Debian packages by apt)

# --- running ---------------------------------------------------------------------------------------------------------

.PHONY: run
run: setup ## Run everything on this machine (PORT=8080 DATA=data DEMO=1 ORIGINS=names)
	@exec $(BIN)/panelgate run

# --- checking --------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: $(STAMP)/dev ## Check style, types, imports between packages, and the tree
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/check_mirror.py
	$(BIN)/python tools/check_tree.py

.PHONY: unit
unit: $(STAMP)/dev $(STAMP)/vendor programs ## Run the unit tests with branch coverage
	$(BIN)/pytest -n 2 -m "not slow" --cov --cov-report=term:skip-covered

.PHONY: e2e
e2e: setup-test ## Run the real processes under a real Chromium, two halves side by side
	@$(BIN)/pytest e2e -m "(demonstration or beside) and not slow" > .cache/e2e-demonstration.log 2>&1 & other=$$!; code=0; \
	$(BIN)/pytest e2e -m "not demonstration and not beside and not slow" || code=$$?; \
	wait $$other || code=$$?; cat .cache/e2e-demonstration.log; exit $$code

.PHONY: test
test: setup-test lint unit e2e ## Everything that must pass before a change goes in

.PHONY: test-slow
test-slow: setup-test ## Only the tests marked slow, one after the other: they share a screen
	$(BIN)/pytest -m slow tests

.PHONY: test-all
test-all: test test-slow ## The same, and the slow tests

SECONDS ?= 600

.PHONY: fuzz
fuzz: $(STAMP)/dev ## Look for inputs that break the readers, SECONDS=600 for each target (nightly)
	$(BIN)/python -m fuzz.run --seconds $(SECONDS)

BENCHES := $(filter-out bench/__init__.py bench/run_all.py bench/stage.py bench/measure.py bench/link.py,$(wildcard bench/*.py))

.PHONY: bench
bench: setup-test ## Run every benchmark and write bench/RESULTS.md
	$(BIN)/python -m bench.run_all

bench-%: setup-test
	$(BIN)/python -m bench.$*

# --- keeping ---------------------------------------------------------------------------------------------------------

.PHONY: pins
pins: ## Renew requirements/*.txt from pyproject.toml
	[ -x .cache/pins/bin/pip-compile ] || { $(PYTHON) -m venv .cache/pins && .cache/pins/bin/pip -q install $(PIP_TOOLS); }
	$(COMPILE) -o requirements/build.txt requirements/build.in
	$(COMPILE) -o requirements/agent.txt pyproject.toml
	$(COMPILE) --extra server -c requirements/agent.txt -o requirements/server.txt pyproject.toml
	$(COMPILE) --extra server --extra dev -c requirements/server.txt -o requirements/dev.txt pyproject.toml
	# pip-compile leaves out what pyproject.toml says of an extra's platforms, and elsewhere this one can't be installed.
	sed -i "s/^\(atheris==[^ ;]*\) /\1 ; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.14' /" requirements/dev.txt

.PHONY: docs
docs: $(STAMP)/server ## Renew the pages of docs/ that are made from code
	$(BIN)/python -m tools.settings_doc

.PHONY: clean
clean: ## Remove everything that was installed or made, but not ./data
	rm -rf .venv .cache .hypothesis .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.* dist build shots
	rm -rf static/node_modules static/vendor
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

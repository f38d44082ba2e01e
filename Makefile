# Two commands do all set-up: `make demo` and `make test`. Both make the virtual environment themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos nightly lint format bench texts lock clean

help: ## say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, and this is " + sys.version.split()[0] + ": set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(VENV)/.ready ## make the virtual environment

demo: setup ## run the example project end to end on the sandbox
	$(BIN)/connector demo

# Twice as many at a time as there are processors: tests wait for servers and disks much of their time.
test: setup ## run all tests
	$(BIN)/python -m pytest -n $$(( $$(nproc) * 2 )) --dist worksteal

chaos: setup ## kill, freeze and crash workers for ten minutes, and count what came of it
	CHAOS_SECONDS=600 $(BIN)/python -m pytest -s -p no:cacheprovider tests/faults/test_chaos.py

nightly: setup ## run the tests that are too heavy for every change, Microsoft's own client on the sandbox among them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[nightly]'
	$(BIN)/python -m pytest -m nightly tests

lint: setup ## check style, types and the rooms' import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## put the code into shape
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup ## measure launch, tick and delivery, beside bare writes and single calls (long; leave the machine alone)
	$(BIN)/python bench/bench.py

texts: setup ## bring the files of the languages up to what the pages say; what is new there waits for a translation
	cd connector/web && ../../$(BIN)/pybabel -q extract --no-location --sort-output --omit-header -F locale/babel.cfg -o locale/texts.pot .
	cd connector/web/locale && for file in *.po; do ../../../$(BIN)/pybabel -q update --no-fuzzy-matching --ignore-obsolete \
		-i texts.pot -o $$file -l $${file%.po}; done
	rm connector/web/locale/texts.pot

lock: setup ## pin the newest versions that fit pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --upgrade --no-header --no-annotate --no-emit-index-url --output-file requirements.lock

clean: ## remove what was made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: demo test lint types setup crash-loop clean help

help:            ## what can be made
	@grep -E '^[a-z-]+: *.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: setup      ## an embedded Kafka, a worker and a simulated shop in one terminal (ARGS="--seconds 60")
	$(BIN)/freshet demo $(ARGS)

test: setup lint types   ## style, types, layers and every test (ARGS="-k name")
	$(BIN)/pytest $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed
	$(BIN)/mypy

setup: $(VENV)/.installed  ## the environment, the broker's jars and the compiled engine
	@$(BIN)/freshet setup

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Freshet needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Freshet and what it needs into $(VENV) (once, some minutes) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

crash-loop: setup  ## 50 faults at random while events flow (about 8 minutes; CRASH_LOOP_SEED=N again)
	CRASH_LOOP_FAULTS=50 $(BIN)/pytest -s tests/streams/test_crash_loop.py

clean:           ## remove the environment and everything built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

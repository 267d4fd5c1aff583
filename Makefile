# The checkout's commands. Each one first prepares what it needs (tools/environment.py), and does
# nothing twice. Paths are relative, so that the checkout may lie anywhere, spaces included.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help set-up up test fast lint bench lock clean python
unexport PYTHONPATH
unexport PYTHONHOME

# Arguments for the command that is run, for example: make up ARGS="--http 127.0.0.1:9000"
ARGS ?=
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)
SET_UP = "$(PYTHON)" tools/environment.py
IN_VENV = .venv/bin/python

help:
	@echo 'make up      set up and run the venue in the foreground (ARGS="..." for its options)'
	@echo 'make test    set up and run every test; as python -m pytest tests/ -v in .venv'
	@echo 'make fast    unit and property tests against src, uncompiled, under a minute'
	@echo 'make lint    ruff, formatting, types, floats in money paths'
	@echo 'make bench   benchmarks, JSON into bench/out'
	@echo 'make lock    resolve the dependencies anew into requirements/*.lock'
	@echo 'make clean   remove what was built and installed, never the data of a venue'

python:
	@test -n '$(PYTHON)' || { echo 'NexusTrade needs Python 3.11 or newer: none was found as' \
		'python3.11 or python3 (on Debian and Ubuntu: apt install python3 python3-venv)'; exit 1; }

set-up: python
	@$(SET_UP) --tests

up: python
	@$(SET_UP)
	@exec .venv/bin/nexustrade up $(ARGS)

test: python
	@$(SET_UP) --tests
	@exec $(IN_VENV) -m pytest tests/ -v $(ARGS)

fast: python
	@$(SET_UP) --tests --no-package
	@PYTHONPATH=src exec $(IN_VENV) -m pytest tests/unit tests/property -q $(ARGS)

lint: python
	@$(SET_UP) --tests --no-package
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .
	$(IN_VENV) -m mypy
	$(IN_VENV) tools/lint_floats.py

bench: python
	@$(SET_UP) --tests
	@exec $(IN_VENV) -m bench $(ARGS)

lock: python
	@test -d .venv-lock || "$(PYTHON)" -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	@.venv-lock/bin/python tools/lock.py

clean:
	rm -rf build .venv .venv-lock .venv-alpaca-trade-api src/nexustrade.egg-info
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

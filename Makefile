# Everything runs in a virtual environment of its own, .venv, made when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= cleansat-demo

.PHONY: demo test test-programs lint bench clean help

help:
	@echo "make demo   mask a simulated scene in a datacube of its own (OUT=folder, ARGS=...)"
	@echo "make test   run all tests, in two processes (ARGS='-n 0 -k seams' for some, in one)"
	@echo "make test-programs   as root on Debian, install PostGIS, Chromium and odc-stats, without which some tests skip"
	@echo "make lint   check style and types"
	@echo "make bench  measure speed, memory and seams against a peer (ARGS=--quick to try it)"
	@echo "make clean  stop the demo's database and remove what was made"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "odc-cleansat needs Python 3.10 to 3.13; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo.stamp: setup.cfg | $(BIN)/python
	@echo "Installing odc-cleansat and what it needs; torch is large, this takes some minutes."
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/test.stamp: setup.cfg | $(BIN)/python
	@echo "Installing odc-cleansat and what its tests need; torch is large, this takes some minutes."
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/bench.stamp: setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

demo: $(VENV)/demo.stamp
	$(BIN)/cleansat demo --out $(OUT) $(ARGS)

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

test-programs: $(BIN)/python
	apt-get update --quiet --quiet
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends \
	  chromium fonts-dejavu-core postgresql postgresql-15-postgis-3 >/dev/null
	PYTHON=$(BIN)/python tests/make_stats_env.sh

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/bench.stamp
	$(BIN)/python -W ignore benchmarks/bench.py $(ARGS)

clean:
	[ ! -x $(BIN)/cleansat ] || $(BIN)/cleansat demo --stop --out $(OUT)
	rm -rf $(VENV) .venv-stats $(OUT) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

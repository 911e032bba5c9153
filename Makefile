# Everything runs in a virtual environment of its own, .venv, made when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= cleansat-demo
EXAMPLE ?= cleansat-example
PORT ?= 8501
# The newest Python that all dependencies have wheels for, in an environment of its own.
NEWEST_PYTHON ?= $(or $(lastword $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13)),python3.13)
NEWEST := .venv-newest
# The oldest Python, for an environment of the oldest releases that setup.cfg allows.
OLDEST_PYTHON ?= $(or $(lastword $(wildcard $(HOME)/.pyenv/versions/3.11.*/bin/python3.11)),python3.11)
OLDEST := .venv-oldest
RELEASE := .venv-release
SBOM ?= sbom.cdx.json

# The tests of the whole come first: a slow file at the end would keep one process busy alone.
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo app test test-programs test-newest newest test-oldest oldest test-blocks coverage mutants lint docs docs-serve pictures bench bench-app image-test aws-test lock sbom version clean help

help:
	@echo "make demo           mask a simulated scene in a datacube of its own (OUT=folder, ARGS=...)"
	@echo "make app            the web application on a datacube of its own with example scenes (PORT=8501)"
	@echo "make test           run all tests in two processes (ARGS='-n 0 -k seams' runs some in one)"
	@echo "make test-programs  install PostGIS, Chromium, Caddy, odc-stats and the AWS CLI, as root on Debian; some tests skip without"
	@echo "make test-blocks    type what pages say and what takes minutes: make, training, Jupyter (fetches 60 MB)"
	@echo "make test-newest    run the tests on Python 3.13 with the newest datacube (NEWEST_PYTHON=...)"
	@echo "make test-oldest    run the unit tests on Python 3.11 with the oldest releases that setup.cfg allows (OLDEST_PYTHON=...)"
	@echo "make coverage       run the tests and show which lines and branches they miss; below 90 % fails"
	@echo "make mutants        change the code at random and count how often tests notice (ARGS='--minutes 5')"
	@echo "make lint           check style, types and imports"
	@echo "make docs           build the documentation into the folder site; a dead link or a misspelt word fails"
	@echo "                    (DOCS=zensical tries the successor of MkDocs, into build/zensical/site)"
	@echo "make docs-serve     show the documentation at http://127.0.0.1:8000 while you write"
	@echo "make pictures       draw the pictures of README and of the web application anew, with Chromium"
	@echo "make bench          measure speed, memory and seams against a peer (ARGS=--quick to try it)"
	@echo "make bench-app      measure the web application in a browser, with ten people who pan"
	@echo "make lock           pin the packages of the images with their hashes (ARGS=--upgrade takes newer ones)"
	@echo "make sbom           write what is in the images, as CycloneDX (SBOM=file)"
	@echo "make version        write the version of a release wherever it stands (VERSION=0.2.0)"
	@echo "make image-test     build the images and try them, as root on Debian (buildah, debootstrap; 10 minutes)"
	@echo "make aws-test       run the user data of deploy/aws in a Debian of its own, as root on Debian (debootstrap; 5 minutes)"
	@echo "make clean          stop the database of the demo and remove what was made"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "odc-cleansat needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo.stamp: setup.cfg | $(BIN)/python
	@echo "Installing odc-cleansat and what it needs; torch is large, this takes some minutes."
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/app.stamp: setup.cfg | $(BIN)/python
	@echo "Installing odc-cleansat with its web application; torch is large, this takes some minutes."
	$(BIN)/python -m pip install --quiet --editable '.[app,demo]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/test.stamp: setup.cfg | $(BIN)/python
	@echo "Installing odc-cleansat and what its tests need; torch is large, this takes some minutes."
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/demo.stamp $(VENV)/app.stamp

$(VENV)/docs.stamp: setup.cfg | $(BIN)/python
	@echo "Installing odc-cleansat and what its documentation is built with."
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

$(VENV)/bench.stamp: setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

demo: $(VENV)/demo.stamp
	$(BIN)/cleansat demo --out $(OUT) $(ARGS)

app: $(VENV)/app.stamp
	$(BIN)/cleansat app --example $(EXAMPLE) --port $(PORT) $(ARGS)

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest $(PARALLEL) --durations=25 $(ARGS)

test-blocks: $(VENV)/test.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist load -m costly tests/integration/test_costly_blocks.py --durations=25 $(ARGS)

coverage: $(VENV)/test.stamp
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term-missing:skip-covered $(ARGS)

mutants: $(VENV)/test.stamp
	$(BIN)/python -W ignore tests/mutants.py $(ARGS)

# A shim of pyenv may stand for a Python that is not there, so it is tried.
test-newest:
	@if $(NEWEST_PYTHON) -c '' 2>/dev/null; then \
	  $(MAKE) --no-print-directory newest; \
	else \
	  echo "Skipped: there is no $(NEWEST_PYTHON) here. Name one with make test-newest NEWEST_PYTHON=..."; \
	fi

$(NEWEST)/stamp: setup.cfg
	$(NEWEST_PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade pip
	$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[test]'
	@touch $@

newest: $(NEWEST)/stamp
	$(NEWEST)/bin/python -m pip list 2>/dev/null | grep -E '^(datacube|odc-[a-z]+|numpy|xarray|torch) '
	$(NEWEST)/bin/python -m pytest $(PARALLEL) --durations=25 $(ARGS)

test-oldest:
	@if $(OLDEST_PYTHON) -c '' 2>/dev/null; then \
	  $(MAKE) --no-print-directory oldest; \
	else \
	  echo "Skipped: there is no $(OLDEST_PYTHON) here. Name one with make test-oldest OLDEST_PYTHON=..."; \
	fi

# uv can install the lowest releases that go together, and pip cannot. It takes 3 GB of torch from the network.
$(OLDEST)/stamp: setup.cfg
	$(OLDEST_PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip uv
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct --editable '.[test]'
	$(OLDEST)/bin/python -m pip uninstall --quiet --yes uv
	@touch $@

# What old releases say against their successors is no fault of ours.
oldest: $(OLDEST)/stamp
	$(OLDEST)/bin/python tests/floors.py
	$(OLDEST)/bin/python -m pytest $(PARALLEL) --durations=25 -W ignore::DeprecationWarning -W ignore::FutureWarning $(or $(ARGS),tests/unit)

test-programs: $(BIN)/python
	apt-get update --quiet --quiet
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends \
	  caddy chromium curl fonts-dejavu-core iproute2 jq postgresql postgresql-15-postgis-3 sudo >/dev/null
	PYTHON=$(BIN)/python tests/make_stats_env.sh
	PYTHON=$(BIN)/python tests/make_aws_env.sh

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Material tells of its successor each time, on which the release is pinned.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/docs.stamp
ifeq ($(DOCS),zensical)
	$(BIN)/python -m pip install --quiet zensical
	$(BIN)/python docs/hooks.py build/zensical
	$(BIN)/zensical build -f build/zensical/mkdocs.yml $(ARGS)
else
	$(BIN)/mkdocs build --strict $(ARGS)
endif

docs-serve: export NO_MKDOCS_2_WARNING := 1
docs-serve: $(VENV)/docs.stamp
	$(BIN)/mkdocs serve $(ARGS)

pictures: $(VENV)/test.stamp
	$(BIN)/python docs/pictures/make.py
	$(BIN)/python docs/pictures/app.py

bench: $(VENV)/bench.stamp
	$(BIN)/python -W ignore benchmarks/bench.py $(ARGS)

bench-app: $(VENV)/test.stamp
	$(BIN)/python -W ignore benchmarks/app.py $(ARGS)

$(RELEASE)/stamp: pyproject.toml
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --upgrade pip
	$(RELEASE)/bin/python -m pip install --quiet --group release
	@touch $@

lock: $(RELEASE)/stamp
	$(RELEASE)/bin/python docker/lock.py $(ARGS)

# The programs that read it want to know the root: what this is the list of.
sbom: $(RELEASE)/stamp
	@printf '[project]\nname = "odc-cleansat"\nversion = "%s"\n' \
	  "$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' odc_cleansat/_version.py)" > $(RELEASE)/pyproject.toml
	cat docker/requirements-app.txt docker/torch.txt | $(RELEASE)/bin/cyclonedx-py requirements \
	  --pyproject $(RELEASE)/pyproject.toml --output-reproducible --output-file $(SBOM) -
	@echo "The list of what is in the images is $(SBOM)."

version:
	$(PYTHON) .ci/stamp.py $(VERSION)

image-test:
	apt-get install --yes --quiet --quiet --no-install-recommends buildah debootstrap >/dev/null
	docker/test.sh

aws-test: $(VENV)/test.stamp
	apt-get install --yes --quiet --quiet --no-install-recommends debootstrap >/dev/null
	PYTHON=$(BIN)/python deploy/aws/test.sh

clean:
	[ ! -x $(BIN)/cleansat ] || $(BIN)/cleansat demo --stop --out $(OUT)
	[ ! -x $(BIN)/cleansat ] || $(BIN)/cleansat demo --stop --out $(EXAMPLE)
	rm -rf $(VENV) .venv-aws .venv-stats $(NEWEST) $(OLDEST) $(RELEASE) $(SBOM) $(OUT) $(EXAMPLE) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*

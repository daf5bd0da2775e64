# Two commands do everything on a machine with only Python 3.11-3.13, git and make:
#   make demo   set up and run examples/office.yaml
#   make test   set up and run every check
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test lint types layers tests report slurm matrix bench chaos fuzz object-storage azure first-hour clean

demo: $(VENV)/.installed
	$(BIN)/bemsweep run examples/office.yaml --store demo-store
	$(BIN)/python examples/office.py demo-store

test: lint types layers tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

tests: $(VENV)/.installed-dev slurm report
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --durations 25

# Its programs, for the tests of a real Slurm: where this is root of a machine with apt; those tests are skipped elsewhere.
slurm: $(VENV)/.installed-dev
	@PYTHONPATH=tests $(BIN)/python -m slurm.one_node --install

# Apart from the others: with bokeh every Dask process of theirs would serve a dashboard, which takes it a second more.
report: $(VENV)/.installed-dashboard
	PYTHONPATH=$(VENV)/dashboard $(BIN)/python -c 'import bokeh'
	PYTHONPATH=$(VENV)/dashboard $(BIN)/pytest -q tests/test_performance_report.py

# What `make tests` does with some of the bundled models, with all of them.
matrix: $(VENV)/.installed-dev
	$(BIN)/pytest -n $(WORKERS) -m matrix

# The quick set, under ten minutes; docs/performance.md names what takes longer.
bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/null_engine.py 1000 10000
	$(BIN)/python benchmarks/yardsticks.py short
	$(BIN)/python benchmarks/same_study_again.py
	$(BIN)/python benchmarks/record_formats.py

# SEED=7 replays what chance gave; ONLY=thousand runs one storm.
chaos: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(addprefix --only ,$(ONLY))

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"bemsweep needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: try make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-dashboard: $(VENV)/.installed-dev
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --upgrade --target $(VENV)/dashboard bokeh narwhals xyzservices
	touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -qq --disable-pip-version-check --editable '.[plot]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -qq --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.installed

fuzz: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python tests/fuzz/run_fuzz.py

object-storage: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/object_storage.py

# Azure's storage, as Microsoft's emulator serves it; needs node and npm. It stays in .azurite, where `make tests` finds it.
azure: $(VENV)/.installed-dev
	npm install --silent --no-audit --no-fund --prefix .azurite azurite@3
	$(BIN)/pytest tests/test_azure.py

first-hour:
	$(PYTHON) benchmarks/first_hour.py

clean:
	rm -rf $(VENV) .azurite demo-store build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

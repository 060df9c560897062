# make run   the quickstart campaign, from nothing to a trained ensemble and a report
# make test  every check and test that this machine can run
# make lint  style, types and import rules only

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= test
CAMPAIGN ?= al_quickstart
DIRECTORY ?= campaigns/$(CAMPAIGN)

# One thread per worker: the workers are the parallelism.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive

INSTALLED := $(VENV)/.installed

.PHONY: run test lint clean

run: $(INSTALLED)
	$(VENV)/bin/python -m workflow.launch --site local --campaign examples/$(CAMPAIGN).yaml \
	    --directory $(DIRECTORY) $(if $(wildcard $(DIRECTORY)/ledger.jsonl),--resume)

test: lint
	$(VENV)/bin/python -m pytest

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(INSTALLED): pyproject.toml constraints.txt setup.py $(wildcard potentials/kernels/*.?pp)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Smelter needs Python 3.11 or newer, not " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) build *.egg-info potentials/kernels/*.so

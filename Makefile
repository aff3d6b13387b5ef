PYTHON ?= python3
BIN := .venv/bin
# Waiting threads sleep: mmm4rec_lite/study/cli/__init__.py says why.
export OMP_WAIT_POLICY ?= passive

.PHONY: setup tour check quick test soak lab clean

setup: .venv/ready

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

tour: setup
	$(BIN)/mmm4rec-lite tour

check: setup
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

quick: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not browser"

test: check
	$(BIN)/python -m pytest tests notebooks --nbval-lax --nbval-cell-timeout=600 -n 2 --dist loadfile

# Attacks on everything that reads, computes and writes, 20 minutes; PARTS=inputs,readers,pictures,tensors,... for some
soak: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/soak.py $(if $(PARTS),--parts $(PARTS)) $(if $(SEED),--seed $(SEED))

lab: setup
	$(BIN)/jupyter lab --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

clean:
	rm -rf .venv runs site build *.egg-info

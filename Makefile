# Two commands do everything on a fresh machine: make demo, make test.
# Both build .venv from requirements.lock first; any Python from 3.11 on will do.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test check docs bench faults replicate wheel lock clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(READY)  ## Search masks for MNIST, train the baselines, write demo/report.html
	$(BIN)/bogp demo --out demo

test: $(READY)  ## Run all tests on two processes, warnings as errors
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: $(READY)  ## Lint, format, types, layers, doctests, what the docs say
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --doctest-modules src/bogp -q -n 2
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_docs.py -q -n 2

docs: $(READY)  ## Build the site into build/site; a warning fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo 'open build/site/index.html'

bench: $(READY)  ## Print the benchmarks: each pairs its sides in one run (half an hour)
	$(BIN)/python benchmarks/properties.py
	$(BIN)/python benchmarks/mixed.py
	$(BIN)/python benchmarks/synthesis.py --seed 7
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/suggest.py
	$(BIN)/python benchmarks/duel.py
	$(BIN)/python benchmarks/sparsifier.py
	$(BIN)/python benchmarks/export.py
	$(BIN)/python benchmarks/graph_layers.py
	$(BIN)/python benchmarks/end_to_end.py

faults: $(READY)  ## Damage every kind of file in 1,000 ways, and print what was noticed (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/damage.py --flips 1000 --seed 1

replicate: $(READY)  ## Every committed table: the paper's (two hours on two cores), and the comparisons
	$(BIN)/bogp reproduce all --seeds 5 --out docs/replication/calibrated
	$(BIN)/bogp reproduce table1 --recipe written --seeds 1 --sparsity 0.3 --sparsity 0.9 \
		--layers hidden --out docs/replication/written
	$(BIN)/bogp reproduce methods --seeds 5 --out docs/replication/methods
	$(BIN)/bogp reproduce models --seeds 5 --out docs/replication/models
	$(BIN)/bogp reproduce dynamics --seeds 5 --out docs/replication/dynamics

wheel: $(READY)  ## Build the wheel, install it in an empty venv, prune every kind of model there
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --quiet --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint requirements.lock build/wheel/bogp-*.whl
	cp tests/five_lines.py build/wheel && cd build/wheel && venv/bin/python five_lines.py 4 400

lock:  ## Pin the newest versions of everything in requirements.lock
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0 setuptools '.[dev]'
	.venv-lock/bin/python -m pip freeze --all --exclude bogp --exclude pip \
		| sed -E 's/\+cpu$$//' > requirements.lock
	rm -rf .venv-lock

clean:  ## Remove what the targets above have made
	rm -rf .venv .venv-lock demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo 'bogp needs Python 3.11 or newer: install it, or give PYTHON=...'; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

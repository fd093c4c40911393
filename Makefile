# Python and make are all it takes; everything is installed into .venv, from the locks in requirements/.

# The first Python in range that runs and can make a virtual environment; `make PYTHON=…` chooses another.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.13 python3; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo "$$python" && break; done)

# One more than there are cores: tests wait for disks, servers and clocks, too.
WORKERS ?= $(shell .venv/bin/python -c "import os; print((os.cpu_count() or 1) + 1)")

pip := .venv/bin/python -m pip -qq --disable-pip-version-check --no-input  # -qq: errors only
args =

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo install test newest parity bench check fix lock docs clean help

demo: .venv/run.stamp  ## fill warehouse.duckdb from every spec, offline
	.venv/bin/etl demo $(args)

install:  ## install what a run needs into .venv, once more where it is there
	@rm -f .venv/run.stamp
	@$(MAKE) --no-print-directory .venv/run.stamp

test: .venv/dev.stamp  ## run the tests; args='-k chess' picks some
	.venv/bin/pytest --numprocesses $(WORKERS) --dist worksteal $(args)

newest: .venv/dev.stamp  ## compare the columnar normaliser with the newest dlt, past our bounds
	.venv/bin/uv pip install --quiet --upgrade --no-deps --target .venv/newest dlt
	PYTHONPATH=.venv/newest .venv/bin/python -c 'import dlt; print("dlt", dlt.__version__)'
	PYTHONPATH=.venv/newest .venv/bin/pytest tests/columnar $(args)

parity: .venv/dev.stamp  ## load every case and, where ETL_PAYLOADS is set, payload into every warehouse, and compare with dlt
	ETL_PARITY=whole .venv/bin/pytest --numprocesses auto --dist worksteal tests/columnar $(args)

check: .venv/dev.stamp  ## lint, format, types, import directions, generated files
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/etl schema --check

fix: .venv/dev.stamp  ## let ruff mend what it can
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/dev.stamp  ## measure against stock dlt and the floor; args='--size full --publish' writes docs/benchmarks.md
	.venv/bin/python -m benchmarks $(args)

docs: .venv/dev.stamp  ## write the files that are generated from code
	.venv/bin/etl schema --write
	.venv/bin/python -m tests.readme

lock: .venv/dev.stamp  ## resolve pyproject.toml into requirements/; args=--upgrade takes the newest
	.venv/bin/python -c '$(print_build_requires)' > .venv/build.txt
	$(resolve) --extra dev --output-file requirements/dev.txt
	$(resolve) --constraints requirements/dev.txt --output-file requirements/run.txt

print_build_requires = import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
resolve = .venv/bin/uv pip compile pyproject.toml .venv/build.txt --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --quiet $(args)

clean:  ## remove .venv and caches; data and state stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /make \1\t/p' Makefile | expand -t 14

.venv/created:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11, 3.12 or 3.13 with venv found; install one or name it: make PYTHON=…" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	@touch $@

.venv/run.stamp: requirements/run.txt pyproject.toml .venv/created
	@echo "installing what a run needs into .venv (a minute or two)"
	@$(pip) install --require-hashes -r requirements/run.txt
	@$(pip) install --no-build-isolation --no-deps --editable .
	@touch $@

.venv/dev.stamp: requirements/dev.txt pyproject.toml .venv/created
	@echo "installing what the tests need into .venv (a minute or two)"
	@$(pip) install --require-hashes -r requirements/dev.txt
	@$(pip) install --no-build-isolation --no-deps --editable .
	@touch .venv/run.stamp $@

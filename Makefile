# make quick         the whole DARE study on bundled data, in an environment of its own (.venv)
# make test          the tests of everyday work, in the same environment (FILES=tests/data: a folder or file of them)
# make test-all      all tests but those that need more than this machine
# make lint          ruff
# make bench         the speed comparisons of benchmarks/
# make requirements  pin the extras of pyproject.toml again (UPGRADE=--upgrade: to the newest versions)
#
# Other Python: make quick PYTHON=python3.12. Other pins: make quick REQUIREMENTS=requirements-gpu.txt.

PYTHON ?= python3
VENV ?= .venv
REQUIREMENTS ?= requirements.txt
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed-$(REQUIREMENTS)
TESTING = $(VENV)/.installed-requirements-test.txt
# Files in the order of their names: by numbers of tests, long files of few tests would come last and leave a core idle.
ON_BOTH_CORES = -n 2 --dist loadfile --no-loadscope-reorder
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	$(UPGRADE) pyproject.toml --extra cluster --extra page

.PHONY: help quick test test-all lint bench requirements

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

quick: $(INSTALLED)
	$(BIN)/python scripts/reproduce.py --study dare --preset quick

test: $(TESTING)
	$(BIN)/python -m pytest $(ON_BOTH_CORES) --durations 10 $(FILES)

test-all: $(TESTING)
	$(BIN)/python -m pytest $(ON_BOTH_CORES) --durations 10 -m "not gpu and not cluster and not browser and not faults"

lint: $(TESTING)
	$(BIN)/ruff check

bench: $(INSTALLED)
	for file in $(filter-out benchmarks/timing.py benchmarks/autoattack_torch.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$file || exit 1; done

requirements: $(INSTALLED)
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --extra cpu --output-file requirements.txt >/dev/null
	$(COMPILE) --extra cpu --extra test --constraint requirements.txt --output-file requirements-test.txt >/dev/null
	$(COMPILE) --extra gpu --constraint requirements.txt --output-file requirements-gpu.txt >/dev/null
	$(COMPILE) --extra jax --constraint requirements.txt --output-file requirements-jax.txt >/dev/null

# One stamp a file of pins: the environment is made once, and brought up to date when its pins change.
$(VENV)/.installed-%: % pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13: name one, as in make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement $<
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

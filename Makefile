# Everything runs from a fresh clone with nothing but Python >= 3.11: each target first makes .venv complete.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.pileus-installed
GUEST_LINT := $(BIN)/python tools/guest_lint.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow campaign test-real test-frozen real-chains vm wheel check bench records docs clean

help:
	@echo "make demo    messages, transfers and queries between two parachains, in both relay-state forms; a timeout"
	@echo "make test    run the tests"
	@echo "make campaign  search for counterexamples for long: every property, and the state machines"
	@echo "make test-slow  run the long ones: every real runtime at hand, 160 live blocks"
	@echo "make test-real  run the tests on chain specs of real networks, after make real-chains"
	@echo "make test-frozen  run the long tests of frozen runtimes: generated blocks, PVF workers, several VMs, an upgrade, the page"
	@echo "make real-chains  fetch chain specs of real networks with npm, into .cache/real-chains"
	@echo "make vm      build the Python VM that runtimes are frozen into (once; make test does it too)"
	@echo "make wheel   build the wheel into dist, with the Python VM in it"
	@echo "make check   ruff, mypy --strict, import-linter, guest lint"
	@echo "make bench   print the benchmarks as ratios to the hash floor"
	@echo "make records  write the documents of record (docs/record) from new runs"
	@echo "make docs    build the documentation (warnings are errors)"
	@echo "make clean   remove .venv and everything that was built"

# Wherever PYTHON is called and not the one of .venv.
CHECK_PYTHON = if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
  echo "Pileus needs Python 3.11 or newer, and '$(PYTHON)' is none ($$($(PYTHON) -V 2>&1 | head -n 1)). Try: make PYTHON=python3.12 ..." >&2; exit 1; fi

$(STAMP): pyproject.toml
	@$(CHECK_PYTHON)
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/pileus run examples/transfers_and_queries.toml --relay-state own
	$(BIN)/pileus run examples/transfers_and_queries.toml --relay-state carried
	$(BIN)/pileus run examples/silent_sibling.toml
	@if $(BIN)/python -m host_functions.executor.frozen.build --have 2>/dev/null; \
	  then echo "and once more, with every call compared between this process and the Wasm sandbox:"; \
	  $(BIN)/pileus run examples/two_parachains.toml --execution both; \
	  else echo "not run in both engines: there is no Python VM (make vm)"; fi

# Built by componentize-py, which has no wheels for some platforms: without it the tests that need it are skipped.
vm: $(STAMP)
	@$(BIN)/python -m host_functions.executor.frozen.build --have 2>/dev/null \
	  || { $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[build]' \
	  && $(BIN)/python -m host_functions.executor.frozen.build; } \
	  || echo "no Python VM: what needs one is skipped"

test: $(STAMP) vm
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not real"

# A VM that is in the cache already was built without componentize-py in this .venv; the test of several VMs builds one.
test-frozen: $(STAMP) vm
	@$(BIN)/python -c 'import componentize_py' 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[build]' \
	  || echo "no componentize-py for this platform: the test of several VMs is skipped"
	$(BIN)/python -m pytest -q -n 2 -m slow tests/frozen tests/e2e/test_upgrade.py tests/e2e/test_upgrade_run.py

test-slow: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 -m "slow and not real"

test-real: $(STAMP) real-chains
	$(BIN)/python -m pytest -q -n 2 -m real

real-chains:
	@$(CHECK_PYTHON)
	@$(PYTHON) tools/real_chains.py

campaign: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 -m "not slow" --hypothesis-profile=campaign tests/property tests/scenarios

check: $(STAMP)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(GUEST_LINT)

wheel: $(STAMP) vm
	@$(BIN)/python -m host_functions.executor.frozen.build --packaged
	$(BIN)/python -m hatchling build -t wheel -d dist

bench: $(STAMP)
	@for bench in benchmarks/[a-z]*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

.PHONY: records
records: $(STAMP)
	$(BIN)/pileus verdicts --write-docs docs/record

docs: $(STAMP)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) build dist docs/_build docs/reference/generated
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

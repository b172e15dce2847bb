# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py README.md LICENSE $(shell find widthwise theory numerics validation -name '*.py' -o -name '*.pyi' -o -name '*.jinja')

# What is installed is run and tested, not the folders of this tree: keep the current folder off the module path.
export PYTHONSAFEPATH := 1

.PHONY: demo quick test test-all lint benchmarks figures clean

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py out

# Two processes test side by side: threads of linear algebra beyond that only wait for each other.
quick test test-all: export OPENBLAS_NUM_THREADS := 1

# A law of every wing, in a minute: the name of a test that fails says where.
quick: $(VENV)/.tested
	$(BIN)/python -m pytest -q -m quick

test: $(VENV)/.tested lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow"

test-all: $(VENV)/.tested lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

# The tests, the type checker and the linter run on what is installed: a wheel of this tree.
lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd $(VENV) && bin/mypy --config-file ../pyproject.toml -p widthwise
	cd $(VENV) && bin/mypy --config-file ../pyproject.toml --allow-untyped-calls --no-warn-return-any ../benchmarks ../examples

benchmarks: $(VENV)/.installed
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

figures: $(VENV)/.installed
	$(BIN)/python examples/readme_figure.py docs/figure.png

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "widthwise needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# Without what an earlier build left: a module that has moved since would be installed at both places.
$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	rm -rf build *.egg-info
	$(BIN)/python -m pip install --quiet '.[all]'
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info out .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Needs Python 3.10 to 3.12, make and a C++ compiler. `make PYTHON=python3.12 test` picks another.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-slow lint typecheck wheel clean

quickstart: $(VENV)/.installed
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not slow and not device"

# Interruption and resumption, a distribution strategy: tests of more than about ten seconds.
test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m "slow and not device"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy does not know package_dir, which maps converters/ to kbnn.converters: it checks what a
# regular, not an editable, installation puts in place.
typecheck: $(VENV)/.installed
	rm -rf build/typecheck
	$(BIN)/pip install --quiet --no-deps --no-compile --target build/typecheck .
	cd build/typecheck && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../setup.cfg -p kbnn

wheel: $(VENV)/.installed
	rm -rf build dist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

# The runtime is built from source, by the C++ compiler; CMake comes with its build requirements.
RUNTIME_SOURCES := $(shell find runtime/native runtime/src runtime/CMakeLists.txt \
	runtime/pyproject.toml -type f -not -name "*.pyc")

$(VENV)/.installed: setup.cfg pyproject.toml $(RUNTIME_SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[test,lint]"
	$(BIN)/pip install --quiet --no-deps --force-reinstall ./runtime
	touch $@

clean:
	rm -rf $(VENV) build dist

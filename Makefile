# Needs Python 3.10 to 3.13, make and a C++ compiler. `make PYTHON=python3.12 test` picks another.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

# A test spends most of its time in tracing, which uses one thread. Each process imports its own
# TensorFlow, so there are at most four.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

RUNTIME_VENV := .venv-runtime
RUNTIME_BIN := $(RUNTIME_VENV)/bin
WHEELS := runtime/dist/.built

.PHONY: quickstart test test-slow test-research test-runtime test-wheels test-arm lint format typecheck wheel release clean

quickstart: $(VENV)/.installed
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.installed
	$(PYTEST) -m "not slow and not device"

# Interruption and resumption, a distribution strategy, fast tests in further settings.
test-slow: $(VENV)/.installed
	$(PYTEST) -m "slow and not device"

# The commands that measure: research/ and runtime/benchmarks/.
test-research: $(VENV)/.installed
	$(PYTEST) -m "not device" research runtime/benchmarks

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mdformat --check $$(git ls-files "*.md")

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mdformat $$(git ls-files "*.md")

# kbnn-runtime, built from source, in a separate environment, because its users have no TensorFlow.
test-runtime: $(RUNTIME_VENV)/.installed
	cd runtime/src && ../../$(RUNTIME_BIN)/mypy --config-file ../pyproject.toml -p kbnn_runtime
	cd runtime && ../$(RUNTIME_BIN)/python -m pytest -m "not slow"

test-wheels: $(WHEELS)
	$(RUNTIME_BIN)/python runtime/check_wheels.py

# The Linux wheels under qemu's user emulation; needs apt.
test-arm: $(WHEELS)
	$(RUNTIME_BIN)/python runtime/wheel_tests/run_arm.py

# mypy does not know package_dir, which maps converters/ to kbnn.converters: it checks what a
# regular, not an editable, installation puts in place.
typecheck: $(VENV)/.installed
	rm -rf build/typecheck
	$(BIN)/pip install --quiet --no-deps --no-compile --target build/typecheck .
	cd build/typecheck && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../setup.cfg -p kbnn

wheel: $(VENV)/.installed
	rm -rf build dist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

# Sets the version, dates the changelog, commits and tags. Pushing the tag publishes.
release:
	$(PYTHON) .github/release.py $(VERSION)
	git commit --quiet --all --message "Release $(VERSION)"
	git tag "v$(VERSION)"

# The runtime is built from source, by the C++ compiler; CMake comes with its build requirements.
RUNTIME_SOURCES := runtime/CMakeLists.txt runtime/pyproject.toml \
	$(shell find runtime/native runtime/src -name "*.cc" -o -name "*.h" -o -name "*.py")

$(VENV)/.installed: setup.cfg pyproject.toml $(RUNTIME_SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[test,lint]"
	# For Python 3.13, where pip cannot resolve Larq's requirements; elsewhere it is there already.
	$(BIN)/pip install --quiet --no-deps larq==0.14.0 terminaltables
	$(BIN)/pip install --quiet --no-deps --force-reinstall ./runtime
	touch $@

$(RUNTIME_VENV)/.installed: $(RUNTIME_SOURCES)
	$(PYTHON) -m venv $(RUNTIME_VENV)
	$(RUNTIME_BIN)/pip install --quiet --upgrade pip
	$(RUNTIME_BIN)/pip install --quiet "./runtime[test,wheels]"
	touch $@

# Built once for test-wheels and test-arm.
$(WHEELS): $(RUNTIME_VENV)/.installed runtime/build_wheels.py
	rm -rf runtime/dist
	$(RUNTIME_BIN)/python runtime/build_wheels.py
	touch $@

clean:
	rm -rf $(VENV) $(RUNTIME_VENV) .venv-3.13 build dist runtime/build runtime/dist

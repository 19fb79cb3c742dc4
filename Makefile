# make train   set up and train on the embedded sample, or on WikiArt where it is prepared
# make test    set up, then lint, format check, type check and all tests
# make test-fast   lint, format check and the tests that take no more than about a second each
#
# ARGS reaches launch.py:   make train ARGS="--config configs/genre.py --config.epochs=10"
# PYTHON picks another interpreter:   make train PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?= --config configs/artist.py
# Whoever is done with its own tests takes some of another's.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.DELETE_ON_ERROR:
.PHONY: train test test-fast figures clean

train: $(VENV)/installed-train
	$(BIN)/python launch.py $(ARGS)

test: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

test-fast: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) -m "not slow"

# The pictures of the README, from the finished run of `make train`.
figures: $(VENV)/installed-test
	$(BIN)/python docs/make_figures.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache artjax.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "artjax needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Try: make train PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The stamps are older than pyproject.toml after it has changed, and only then is anything installed.
$(VENV)/installed-train: pyproject.toml | $(BIN)/python
	@extra=$$(sh tools/cuda_extra.sh); \
	if [ -n "$$extra" ]; then echo "NVIDIA driver found: installing for GPU with the extra '$$extra'"; \
	else echo "no NVIDIA driver answers: installing for CPU"; fi; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".$${extra:+[$$extra]}"
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@

# The steps of the README as targets; each is a plain command that can be run by hand, too.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint pictures clean

demo: $(VENV)/.installed
	$(BIN)/segmamba demo -o demo

test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

pictures: $(VENV)/.installed
	$(BIN)/python Testing/pictures.py -o Resources/Screenshots

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test,slicer,cluster]"
	touch $@

clean:
	rm -rf $(VENV) demo build dist

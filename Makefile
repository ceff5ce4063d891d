# make demo   the whole pipeline on the bundled simulated corpus, ends with the report's path
# make test   checks and tests
# Each sets itself up: a .venv with the versions of constraints.txt.

PYTHON ?= python3
export HF_HUB_DISABLE_TELEMETRY = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test check docs clean

demo: .venv/demo.done
	.venv/bin/crpo demo

test: check
	.venv/bin/python -m pytest

check: .venv/test.done
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/python -m pytest tests/test_layers.py

docs: .venv/test.done
	.venv/bin/python tools/make_docs.py

clean:
	rm -rf .venv runs build dist .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.done: .venv/bin/python pyproject.toml constraints.txt
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[train,demo]"
	touch $@

.venv/test.done: .venv/demo.done
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[train,demo,dev]"
	touch $@

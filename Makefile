# make demo   the whole pipeline on the bundled simulated corpus, ends with the report's path
# make test   checks and tests
# make study  docs/results.md again: hours, and goes on where it was stopped; make study-quick: a short version of it
# Each sets itself up: a .venv with the versions of constraints.txt.

PYTHON ?= python3
export HF_HUB_DISABLE_TELEMETRY = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Of make study: how many steps are done side by side. Its data lie in ../shared/data.
WORKERS ?= 2

.PHONY: demo test study study-quick study-settings check docs clean

demo: .venv/demo.done
	.venv/bin/crpo demo

test: check
	.venv/bin/python -m pytest

# One thread for each process: the same numbers on any number of cores.
study study-quick study-settings: export OMP_NUM_THREADS = 1

study: study-settings
	.venv/bin/crpo run study/study.yaml --out runs/study --workers $(WORKERS)
	.venv/bin/python study/write_results.py runs/study docs

study-quick: .venv/demo.done
	.venv/bin/crpo run study/quick.yaml --out runs/study-quick --workers $(WORKERS)
	.venv/bin/python study/write_results.py runs/study-quick runs/study-quick/results

# How the policy and the rates of training were chosen, without the prompts of the test.
study-settings: .venv/demo.done
	.venv/bin/crpo run study/policies.yaml --out runs/policies --until base --workers $(WORKERS)
	.venv/bin/python study/policy_search.py runs/policies study/policies.csv
	.venv/bin/crpo run study/validation.yaml --out runs/validation --workers $(WORKERS)
	.venv/bin/python study/settings.py runs/validation study/settings.csv

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

# `make smoke` and `make test` are all it takes. Two words choose what .venv is made of:
# VARIANT=cpu or gpu (without it: gpu where there is an NVIDIA driver) and PYTHON=python3.12.
PYTHON ?= python3
IN_VENV = .venv/bin/python

.PHONY: help venv venv-dev smoke test clean

help:  ## this list
	@sed -n 's/^\([a-z]*\)[ a-z-]*:.*## /make \1\t/p' Makefile | expand -t 14

venv venv-dev:  ## .venv with vLLM and LoadGen (smoke and test begin with it)
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) here: install Python" \
	  "3.11 to 3.13, or name the one you have: make venv PYTHON=python3.12"; exit 1; }
	@$(PYTHON) tools/setup_venv.py $(if $(filter venv-dev,$@),--dev)

smoke: venv  ## the main job on the demo model, then its report
	$(IN_VENV) run.py --model demo --dataset sample --category datacenter --scenario offline \
	  --mode both --results-dir results
	@cat results/latest/report.md

test: venv-dev  ## ruff, mypy and pytest
	$(IN_VENV) -m ruff check
	$(IN_VENV) -m ruff format --check
	$(IN_VENV) -m mypy
	$(IN_VENV) -m pytest

clean:  ## removes .venv and the tools' caches, not the results
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

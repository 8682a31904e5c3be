# `make smoke` and `make test` are all it takes. Two words choose what .venv is made of:
# VARIANT=cpu or gpu (without it: gpu where there is an NVIDIA driver) and PYTHON=python3.12.
# .venv keeps them for the next `make`, which would replace it otherwise.
WORDS = .venv/.words
-include $(WORDS)
PYTHON ?= python3
export VARIANT
IN_VENV = .venv/bin/python

# The end of the v5.1 round: its submission checker and compliance tests.
OFFICIAL = https://github.com/mlcommons/inference
OFFICIAL_TAG = v5.1.1
OFFICIAL_COMMIT = 6776245e
CLONE = third_party/inference
CHECKER = $(CLONE)/tools/submission/submission_checker.py

.PHONY: help venv venv-dev smoke test image image-cpu smoke-image third-party check-submission clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\)[ a-z-]*:.*## /make \1\t/p' Makefile | expand -t 24

venv venv-dev:  ## .venv with vLLM and LoadGen (smoke and test begin with it)
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) here: install Python" \
	  "3.11 to 3.13, or name the one you have: make venv PYTHON=python3.12" \
	  $(if $(wildcard $(WORDS)),"($(WORDS) keeps the name; make clean forgets it)"); exit 1; }
	@$(PYTHON) tools/setup_venv.py $(if $(filter venv-dev,$@),--dev)
	@words=$$(printf '%s\n' 'PYTHON ?= $(PYTHON)' $(if $(VARIANT),'VARIANT ?= $(VARIANT)')); \
	[ "$$(cat $(WORDS) 2>/dev/null)" = "$$words" ] || echo "$$words" >$(WORDS)

smoke: venv  ## the main job on a small real model, then its report
	@model=small; instead="The demo model takes its place: the same run, with random words for answers."; \
	if ! command -v nvidia-smi >/dev/null && grep -qs '^flags' /proc/cpuinfo \
	  && ! grep -qswE 'avx512bw|avx_ne_convert' /proc/cpuinfo; then model=demo; \
	  echo "This processor multiplies bf16 slowly (it has no AVX-512): the small model would take minutes. $$instead"; \
	elif ! $(IN_VENV) run.py fetch small; then model=demo; echo "$$instead"; fi; \
	set -x; $(IN_VENV) run.py --model $$model --dataset sample --category datacenter \
	  --scenario offline --mode both --total-sample-count 10 --results-dir results
	@cat results/latest/report.md

test: venv-dev  ## ruff, mypy and pytest
	$(IN_VENV) -m ruff check
	$(IN_VENV) -m ruff format --check
	$(IN_VENV) -m mypy
	$(IN_VENV) -m pytest

image:  ## the image for NVIDIA GPUs, by docker, podman or buildah
image-cpu:  ## the image for no GPU
smoke-image:  ## the same, with the demo run in it and a look at what that left
image image-cpu smoke-image:
	@$(PYTHON) tools/image.py $@

third-party:  ## the official repository of the v5.1 round (needs a network)
	@test -f $(CHECKER) || git clone --quiet --depth 1 --branch $(OFFICIAL_TAG) $(OFFICIAL) $(CLONE) \
	  || { echo "$(CLONE) is missing, and $(OFFICIAL) could not be cloned: it needs git and a" \
	  "network. Or put a checkout of tag $(OFFICIAL_TAG) there."; exit 1; }
	@case "$$(git -C $(CLONE) rev-parse HEAD)" in $(OFFICIAL_COMMIT)*) ;; *) \
	  echo "$(CLONE) is not at commit $(OFFICIAL_COMMIT) ($(OFFICIAL_TAG)): delete it and repeat."; \
	  exit 1;; esac
	@echo "$(CLONE) is there, at $(OFFICIAL_TAG)."

check-submission:  ## the official v5.1 checker on a tree: make check-submission TREE=folder
	@test -d "$(TREE)" || { echo "TREE=$(TREE) is no folder: make check-submission TREE=folder, as" \
	  "run.py --submission wrote it."; exit 2; }
	@test -f $(CHECKER) || { echo "The official checker is not here: make third-party fetches it" \
	  "(needs a network)."; exit 1; }
	$(IN_VENV) $(CHECKER) --input "$(TREE)" --version v5.1 --csv third_party/summary.csv

clean:  ## removes .venv and the tools' caches, not the results
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

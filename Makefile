# Two commands matter: `make run` serves the function URL on this machine, `make test` is what CI runs.
# Recipes use nothing but python3: no other program needs to be on the PATH.

PYTHON ?= python3
VENV := .venv
SAM_VENV := .venv-sam
AUDIT_VENV := .venv-audit
PY := $(VENV)/bin/python
SET_UP := $(PYTHON) -m local.virtual_environment
TOUCH := $(PYTHON) -c "import pathlib, sys; [pathlib.Path(name).touch() for name in sys.argv[1:]]"

.PHONY: run test lint types tests tests-3.13 sam-local bench fault-run fuzz audit lock clean

run: $(VENV)/.ready-to-run
	@exec $(PY) -m local

# What can be done side by side is; pytest comes last, so that its closing line is that of `make test`.
test:
	@$(MAKE) --no-print-directory --jobs 2 $(VENV)/.ready $(SAM_VENV)/.ready $(AUDIT_VENV)/.ready
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint types tests-3.13
	@$(MAKE) --no-print-directory tests

lint: $(VENV)/.ready
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

types: $(VENV)/.ready
	$(PY) -m mypy

# More files at a time than cores, since they wait as much as they work.
tests: $(VENV)/.ready $(SAM_VENV)/.ready $(AUDIT_VENV)/.ready
	$(PY) -m pytest -n 3 --dist loadfile

# The template deploys python3.13: the unit tests also run under one, where this machine has it.
tests-3.13: $(VENV)/.ready
	@$(PY) -m tests.support.interpreters 3.13 requirements-dev.txt -m pytest tests/unit -n 2

# `sam local` of every event and every route in containers, about three minutes; skipped where there is no Docker.
sam-local: $(VENV)/.ready $(SAM_VENV)/.ready
	$(PY) -m pytest tests/integration/docker_sam_local.py

# The relay beside its peers, about ten minutes in which nothing else should run; the report is a file beside them.
bench: $(VENV)/.ready
	PYTHONPATH=shared $(PY) -m tests.benchmarks

# Ten thousand transcripts while three calls in ten fail and processes are killed: about a quarter of an hour.
# FAULT_RUN_SEED=… repeats the faults of a run.
fault-run: $(VENV)/.ready
	$(PY) -m pytest tests/benchmarks/bench_fault_run.py -s

# A million inputs at whatever reads what others send, guided by what they reach.
fuzz: $(VENV)/.ready
	$(PY) -m tests.fuzz.fuzz_run all --runs 1000000

# Does the template keep the rules of cfn-lint and checkov (offline), and is a vulnerability known of any locked package
# (asks api.osv.dev; AUDIT_OPTIONS go to pip-audit, such as `--ignore-vuln ID`)?
audit: $(VENV)/.ready $(SAM_VENV)/.ready $(AUDIT_VENV)/.ready
	$(PY) -m pytest tests/integration/project/test_template_rules.py
	$(AUDIT_VENV)/bin/python -m tests.support.locked_packages $(AUDIT_OPTIONS)

# Pin what pyproject.toml asks for, with hashes, for every platform and Python from 3.11 on.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	for pair in layer:shared/requirements.txt jwt:shared/jwt_layer/requirements.txt run:requirements-run.txt dev:requirements-dev.txt sam:requirements-sam.txt audit:requirements-audit.txt; do \
	  .venv-lock/bin/uv pip compile --quiet --upgrade pyproject.toml --group $${pair%%:*} -o $${pair##*:} \
	    --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links || exit 1; \
	done

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(d, True) for d in ('$(VENV)', '$(SAM_VENV)', '$(AUDIT_VENV)', '.venv-3.13', '.venv-lock', '.aws-sam', '.local')]"

# One environment for both: the tests add to what serving needs, all of which is in their lock file as well.
$(VENV)/.ready-to-run: requirements-run.txt
	@$(SET_UP) $(VENV) $<
	@$(TOUCH) $@

$(VENV)/.ready: requirements-dev.txt
	@$(SET_UP) $(VENV) $<
	@$(TOUCH) $(VENV)/.ready-to-run $@

# The SAM CLI pins its own dependencies, so it lives in an environment of its own.
$(SAM_VENV)/.ready: requirements-sam.txt
	@$(SET_UP) $(SAM_VENV) $<
	@$(TOUCH) $@

# checkov pins its own as well.
$(AUDIT_VENV)/.ready: requirements-audit.txt
	@$(SET_UP) $(AUDIT_VENV) $<
	@$(TOUCH) $@

# Two commands matter: `make run` serves the function URL on this machine, and `make test` is what CI runs.
# Recipes need only python3 on the PATH, and no other program.

PYTHON ?= python3
VENV := .venv
SAM_VENV := .venv-sam
AUDIT_VENV := .venv-audit
WALK_VENV := .venv-walk
PRICES_VENV := .venv-prices
PY := $(VENV)/bin/python
SET_UP := $(PYTHON) -m local.virtual_environment
OTHER_PYTHONS := tests-3.11 tests-3.12 tests-3.13
TOUCH := $(PYTHON) -c "import pathlib, sys; [pathlib.Path(name).touch() for name in sys.argv[1:]]"

.PHONY: run answer report probe doctor caller test lint types tests $(OTHER_PYTHONS) sam-local deploy-walk bench fault-run \
  fuzz audit prices lock clean

run: $(VENV)/.ready-to-run
	@exec $(PY) -m local

# Shows all that the local stack has kept about the answer with this ID, which is its x-relay-request-id.
answer: $(VENV)/.ready-to-run
	@PYTHONPATH=shared $(PY) -m local.records.answer

# Sums up the archived transcripts (answers, tokens, cost, speed) in tables and .local/report.html. ARCHIVE_FOLDER may
# name a copy of a bucket.
report: $(VENV)/.ready
	@PYTHONPATH=shared $(PY) -m local.records.report

# Makes a key for a caller: `make caller NAME=web`. STACK=… names a stack other than delta-relay.
caller:
	@$(PYTHON) -m local.caller_key "$(NAME)" $(STACK)

# Asks the relay at URL, deployed or local, whether it keeps its promises (docs/probe.md). KEY comes from the environment.
probe: $(VENV)/.ready-to-run
	@PYTHONPATH=shared $(PY) -m local.probe

# Asks the upstream that `make run` would use whether it does what the function needs.
doctor: $(VENV)/.ready-to-run
	@PYTHONPATH=shared:functions/stream_chat $(PY) -m local.doctor

# Independent steps run in parallel, and print their progress: three on two cores, because installing waits for
# the network. The whole test suite comes last, so that its summary ends the output.
test:
	@$(MAKE) --no-print-directory --jobs 3 lint types $(OTHER_PYTHONS) $(SAM_VENV)/.ready $(AUDIT_VENV)/.ready
	@$(MAKE) --no-print-directory tests

lint: $(VENV)/.ready
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

types: $(VENV)/.ready
	$(PY) -m mypy

# Six workers on two cores, because the tests wait more than they compute. The files with few but long tests come
# first, in the order of their names: at the end no worker has to wait long for another.
tests: $(VENV)/.ready $(SAM_VENV)/.ready $(AUDIT_VENV)/.ready
	$(PY) -m pytest -n 6 --dist loadfile --no-loadscope-reorder

# The unit tests under every supported Python that this machine has, except that of the main run. The template deploys
# 3.13. They leave out tests of speed and of the project, and try fewer generated examples.
$(OTHER_PYTHONS): tests-%: $(VENV)/.ready
	@$(PY) -m tests.support.interpreters $* requirements-unit.txt -m pytest tests/unit --ignore tests/unit/project \
	  -k "not linear and not moment" --hypothesis-profile few-examples

# Sends every event to every route of `sam local` in containers: about three minutes. Skipped without Docker.
sam-local: $(VENV)/.ready $(SAM_VENV)/.ready
	$(PY) -m pytest tests/integration/docker_sam_local.py

# Deploys to an emulated AWS with the commands of docs/deploy.md and docs/after-deploying.md, guided and not, and removes
# it again: about ten minutes.
deploy-walk: $(VENV)/.ready $(SAM_VENV)/.ready $(WALK_VENV)/.ready
	$(PY) -m pytest tests/integration/deploy_walk.py

# Compares the relay with its peers: about ten minutes, in which nothing else should run on the machine. Writes
# tests/benchmarks/report.md.
bench: $(VENV)/.ready
	PYTHONPATH=shared $(PY) -m tests.benchmarks

# Delivers ten thousand transcripts while three of ten AWS calls fail and processes are killed: about fifteen minutes.
# FAULT_RUN_SEED=… repeats the faults of an earlier run.
fault-run: $(VENV)/.ready
	$(PY) -m pytest tests/benchmarks/bench_fault_run.py -s

# Coverage-guided fuzzing of everything that reads foreign input, with a million inputs for each target; and ten times
# as many generated examples as usual in the unit tests.
fuzz: $(VENV)/.ready
	$(PY) -m pytest tests/unit -n 2 --hypothesis-profile many-examples
	$(PY) -m tests.fuzz.fuzz_run all --runs 1000000

# Checks the template by the rules of cfn-lint and checkov (offline), and the locked packages for known vulnerabilities
# (asks api.osv.dev). AUDIT_OPTIONS go to pip-audit, such as `--ignore-vuln ID`.
audit: $(VENV)/.ready $(SAM_VENV)/.ready $(AUDIT_VENV)/.ready
	$(PY) -m pytest tests/integration/project/test_template_rules.py
	$(AUDIT_VENV)/bin/python -m tests.support.locked_packages $(AUDIT_OPTIONS)

# Writes today's list prices of models to shared/pricing/model_prices.json, from the package that `make lock` has pinned.
prices: $(PRICES_VENV)/.ready
	PYTHONPATH=shared $(PRICES_VENV)/bin/python artefacts/model_prices.py

# Pins the requirements of pyproject.toml, with hashes, for every platform and for Python 3.11 and later.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	for pair in layer:shared/requirements.txt jwt:shared/jwt_layer/requirements.txt run:requirements-run.txt unit:requirements-unit.txt dev:requirements-dev.txt sam:requirements-sam.txt audit:requirements-audit.txt walk:requirements-walk.txt prices:requirements-prices.txt; do \
	  .venv-lock/bin/uv pip compile --quiet --upgrade pyproject.toml --group $${pair%%:*} -o $${pair##*:} \
	    --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links || exit 1; \
	done

clean:
	$(PYTHON) -c "import pathlib, shutil; [shutil.rmtree(d, True) for d in (*pathlib.Path().glob('.venv*'), '.aws-sam', '.local')]"

# One environment serves `make run` and the tests: the lock file of the tests contains that of `make run`.
$(VENV)/.ready-to-run: requirements-run.txt
	@$(SET_UP) $(VENV) $<
	@$(TOUCH) $@

$(VENV)/.ready: requirements-dev.txt
	@$(SET_UP) $(VENV) $<
	@$(TOUCH) $(VENV)/.ready-to-run $@

# The SAM CLI pins its dependencies, so it has its own environment.
$(SAM_VENV)/.ready: requirements-sam.txt
	@$(SET_UP) $(SAM_VENV) $<
	@$(TOUCH) $@

# Checkov pins its dependencies too.
$(AUDIT_VENV)/.ready: requirements-audit.txt
	@$(SET_UP) $(AUDIT_VENV) $<
	@$(TOUCH) $@

# The emulated AWS that `make deploy-walk` deploys to, and its AWS CLI.
$(WALK_VENV)/.ready: requirements-walk.txt
	@$(SET_UP) $(WALK_VENV) $<
	@$(TOUCH) $@

# Only `make prices` needs the list of prices, with all that it requires.
$(PRICES_VENV)/.ready: requirements-prices.txt
	@$(SET_UP) $(PRICES_VENV) $<
	@$(TOUCH) $@

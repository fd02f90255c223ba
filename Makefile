# Everything a person or CI types. `make up` and `make test` need python3 and make, nothing else.
# Python 3.13, which Lambda runs, where this machine has it; else another that is supported. PYTHON=… names one.
ifndef PYTHON
PYTHON := $(or $(shell sh local/find_python.sh),python3)
endif
PORT ?= 3000
STATE ?= .local
BIN := .venvs/dev/bin
LOCAL := .venvs/local/bin/python -m local --state $(STATE)

STRESS := .venvs/stress/bin/python -m stress

.PHONY: stress stress-controls stress-compare stress-keep stress-environments help up reset token circuits logs psql migrate \
	environments dev-environments quick test chaos guarantees forget lint types imports template unit settings contract mutations integration local e2e schemathesis harness readiness openapi oldest-python requirements sam-lint sam-build sam-environment

help:
	@echo "make up [PORT=3000]      the whole service on this machine; Ctrl-C ends it"
	@echo "make reset               throw its state away"
	@echo "make -s token ROLE=staff|admin [EMAIL=…] | EMAIL=…   an access token"
	@echo "make circuits [NAME=email|identity|storage FORCE=open|closed|auto]   see them, or force one"
	@echo "make logs | psql | migrate"
	@echo "make quick               lint, types, unit and contract tests, under a minute"
	@echo "make test                everything that CI runs"
	@echo "make stress              the readiness report, in a quarter of an hour; PROFILE=short in three minutes"
	@echo "make stress-controls     break the system in eleven ways: each must be found out; ONLY=name for one"
	@echo "make stress-keep REPORT=reports/…   keep a full run in docs/readiness.md"
	@echo "make stress-compare A=reports/… B=reports/…   two runs side by side"
	@echo "make mutations           change what is deployed in many ways: each must turn a test red; ONLY=name for one"
	@echo "make chaos               the long campaigns: soak, failovers, kill points; CHAOS_SEED=… replays one"
	@echo "make guarantees          keep what was measured in docs/guarantees.md"

environments:
	@$(PYTHON) -m local.bootstrap local emulator lambda

dev-environments:
	@$(PYTHON) -m local.bootstrap dev local emulator lambda

# ---- the local cloud: each recipe is one simple command, so that a signal to make reaches it -------------------------
up: environments
	@$(LOCAL) up --port $(PORT)

reset: environments
	@$(LOCAL) reset

token: environments
	@$(LOCAL) token $(if $(ROLE),--role $(ROLE)) $(if $(EMAIL),--email $(EMAIL))

circuits: environments
	@$(LOCAL) circuits $(if $(NAME),--name $(NAME)) $(if $(FORCE),--force $(FORCE))

logs: environments
	@$(LOCAL) logs

psql: environments
	@$(LOCAL) psql

migrate: environments
	@$(LOCAL) migrate

# ---- the readiness report: reports/<time>/report.html -----------------------------------------------------------------
stress-environments:
	@$(PYTHON) -m local.bootstrap local emulator lambda stress

stress: stress-environments
	@$(STRESS) run $(if $(PROFILE),--profile $(PROFILE)) $(if $(TARGET),--target $(TARGET)) $(if $(YES),--yes) $(if $(SEED),--seed $(SEED))

stress-controls: stress-environments
	@.venvs/stress/bin/python -m stress.controls $(if $(ONLY),--only $(ONLY))

stress-compare: stress-environments
	@$(STRESS) compare $(A) $(B)

# The full run that docs/readiness.md shows.
stress-keep: stress-environments
	@$(STRESS) keep $(REPORT)

# ---- the tests ------------------------------------------------------------------------------------------------------
quick: lint types imports unit settings contract

test: forget quick oldest-python template mutations integration local e2e schemathesis harness readiness
	@MEASURED=1 $(BIN)/pytest tests/guarantees

# The long campaigns, an hour or two: each ends by itself, and replays from its seed (CHAOS_SEED=…).
chaos: dev-environments
	@$(BIN)/pytest -s tests/chaos

# What was measured since `make test` or the last `make guarantees` goes into docs/guarantees.md.
guarantees: dev-environments
	@$(BIN)/python -m tests.guarantees.page --keep

# Python 3.11 stays supported: the unit and contract tests on it, in an environment of its own.
OLDEST := 3.11
oldest-python: dev-environments
	@if python=$$(sh local/find_python.sh $(OLDEST)); then \
		$$python -m local.bootstrap --folder .venvs/python$(OLDEST) dev && \
		.venvs/python$(OLDEST)/dev/bin/pytest tests/unit tests/contract; \
	else \
		echo "there is no Python $(OLDEST) on this machine: its lane was not run"; \
	fi

forget:
	@rm -f build/figures.jsonl

lint: dev-environments
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m local.openapi --check

types: dev-environments
	@$(BIN)/mypy

imports: dev-environments
	@PYTHONPATH=layers/shared:functions/agents:functions/members:functions/claims:functions/health:functions/jobs:. $(BIN)/lint-imports --no-cache

template: dev-environments
	@$(BIN)/cfn-lint template.yaml
	@$(BIN)/pytest tests/template

unit settings contract integration local e2e: dev-environments
	@$(BIN)/pytest tests/$@

# What is deployed, changed in one way after another: each has to turn a test red. ONLY=name for one.
mutations: dev-environments
	@$(BIN)/python -m tests.mutations $(ONLY)

schemathesis: dev-environments
	@$(BIN)/pytest tests/schemathesis

# The readiness report's own tests, and the short run of it: three minutes on a cloud of its own.
harness: dev-environments
	@$(BIN)/pytest tests/stress

readiness: dev-environments
	@$(BIN)/pytest tests/readiness

openapi: dev-environments
	@$(BIN)/python -m local.openapi

# What is pinned stays as it is while the .in allows it; UPGRADE=--upgrade takes the newest of everything.
PINNED := layers/shared/requirements $(addprefix requirements/,dev local emulator lambda sam stress uv)
requirements:
	@$(PYTHON) -m local.bootstrap uv
	@for file in $(PINNED); do echo "$$file.txt"; .venvs/uv/bin/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --excludes requirements/excludes.txt $(UPGRADE) --output-file $$file.txt $$file.in || exit 1; done

# ---- AWS SAM: not part of `make test` (its environment takes a minute to install); docs/deploy.md -------------------
sam-lint: sam-environment
	@SAM_CLI_TELEMETRY=0 .venvs/sam/bin/sam validate --lint

sam-build: sam-environment
	@SAM_CLI_TELEMETRY=0 .venvs/sam/bin/sam build

sam-environment:
	@$(PYTHON) -m local.bootstrap sam

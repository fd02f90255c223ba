# Everything a person or CI types. `make up` and `make test` need python3 and make, nothing else.
# Python 3.13, which Lambda runs, if this machine has it; else another that is supported. PYTHON=… names one.
ifndef PYTHON
PYTHON := $(or $(shell sh local/find_python.sh),python3)
endif
# An environment of another supported Python is kept while it works, unless PYTHON=… asks for this one.
BOOTSTRAP := $(PYTHON) -m local.bootstrap $(if $(filter file,$(origin PYTHON)),,--this-python)
PORT ?= 3000
STATE ?= .local
BIN := .venvs/dev/bin
LOCAL := .venvs/local/bin/python -m local --state $(STATE)

STRESS := .venvs/stress/bin/python -m stress
# A folder with a report, or an end with the reason: $(call report,FOLDER,NAME OF ITS VARIABLE)
report = $(if $(1),$(if $(wildcard $(1)/report.json),$(1),$(error there is no report in $(1): $(2)=reports/…)),$(error name a report: $(2)=reports/…))

.PHONY: help up down url reset token circuits logs psql migrate release environments dev-environments stress-environments \
	stress stress-controls controls-tenth stress-compare stress-repeat stress-keep verify quick test ci nightly chaos guarantees figures forget lint style names routes generated types \
	imports template checkov spectral clients unit settings contract docs rules exhaustive mutations mutants integration one-by-one one-by-one-all local e2e alarms timed schemathesis bench capacity bench-tests \
	harness readiness axe openapi reference ci-page \
	oldest-python other-pythons requirements events sam sam-events sam-local sam-lint sam-build sam-environment deploy released

# A target is listed if its line has a comment after ##; a line that begins with ##@ is a heading.
help: ## List the targets
	@awk 'BEGIN { FS = ":[^#]*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9 -]*:[^#]*## / { split($$1, names, " "); \
			for (n = 1; n in names; n++) printf "  make %-18s %s\n", names[n], $$2 }' $(MAKEFILE_LIST)

environments:
	@$(BOOTSTRAP) local emulator lambda

dev-environments: ## Install what the tests and tools need into .venvs/
	@$(BOOTSTRAP) dev local emulator lambda databases

##@ The local cloud
# Each recipe is one simple command, so that a signal to make reaches it.
up: environments ## Run the whole service on this machine; Ctrl-C ends it [PORT=3000]
	@$(LOCAL) up --reload --port $(PORT)

down: environments ## End it, from another terminal
	@$(LOCAL) down

url: environments ## Print the API's address: make -s url
	@$(LOCAL) url

reset: environments ## Delete its state
	@$(LOCAL) reset

token: environments ## Print an access token: make -s token ROLE=member|agent|staff|admin, or EMAIL=… of somebody registered
	@$(LOCAL) token $(if $(ROLE),--role $(ROLE)) $(if $(EMAIL),--email $(EMAIL))

circuits: environments ## Show the circuits, or force one: NAME=email|identity|storage FORCE=open|closed|auto
	@$(LOCAL) circuits $(if $(NAME),--name $(NAME)) $(if $(FORCE),--force $(FORCE))

logs: environments ## Follow the logs
	@$(LOCAL) logs

psql: environments ## Open a database shell
	@$(LOCAL) psql

migrate: environments ## Apply new migrations
	@$(LOCAL) migrate

MINUTE ?= 60
release: environments ## Release other code with a canary: CODE=folder or git revision [MINUTE=2: seconds that stand for one]
	@$(LOCAL) release --code $(or $(CODE),$(error name other code: CODE=a folder or git revision)) --minute $(MINUTE)

##@ The readiness report: reports/<time>/report.html
stress-environments:
	@$(BOOTSTRAP) local emulator lambda stress

stress: stress-environments ## Make the report in 18 minutes [PROFILE=short: five; TARGET=https://…/api SEED=…]
	@$(STRESS) run $(if $(PROFILE),--profile $(PROFILE)) $(if $(TARGET),--target $(TARGET)) $(if $(YES),--yes) $(if $(SEED),--seed $(SEED))

stress-controls: stress-environments ## Break the system in one way after another: each must be detected [ONLY=name]
	@.venvs/stress/bin/python -m stress.controls --record $(if $(ONLY),--only $(ONLY))

# CI's part of it; nothing is recorded, so that the checkout stays as it is. Ten consecutive turns have each control once.
controls-tenth: dev-environments ## Run the tenth of the controls whose turn it is, in four minutes [TURN=n]
	@$(BIN)/python -m stress.controls --tenth --within 240 $(if $(TURN),--turn $(TURN))

stress-compare: stress-environments ## Show two runs side by side: A=reports/… B=reports/…
	@$(STRESS) compare $(call report,$(A),A) $(call report,$(B),B)

verify: stress-environments ## Judge a report again from its raw files: REPORT=reports/… [SIGNER=a public key that you trust]
	@status=0; .venvs/stress/bin/python judge/verify.py $(call report,$(REPORT),REPORT) \
		$(if $(SIGNER),--signer $(SIGNER)) || status=1; .venvs/stress/bin/python -m judge.same_run $(REPORT) || status=1; exit $$status

# On an idle machine: what it measures is a file of measurements/.
stress-repeat: dev-environments stress-environments ## See that the short report has the same verdict 20 times, in 90 minutes [BUSY=1: 5 times beside a busy processor]
	@$(BIN)/python -m tools.repeats $(if $(BUSY),--busy)

# The kept run is what docs/reference/readiness.md shows.
stress-keep: stress-environments ## Publish a full run: REPORT=reports/… [MARKED=1: as INVALID, if its controls are older]
	@$(STRESS) keep $(call report,$(REPORT),REPORT) $(if $(MARKED),--marked)

##@ Tests
quick: routes lint types imports unit settings contract docs ## Run routes, lint, types, import rules, unit and contract tests, in about three minutes: while you work

# Each word is a group of lanes, joined by +, which run beside each other; the stages of a lane, joined by commas, run one after another.
# Stages that mostly wait are beside stages that calculate. Whatever compares times has the machine to itself (decision 64).
STAGES = quick,exhaustive,other-pythons+oldest-python,rules,template,checkov,spectral e2e+alarms+one-by-one,bench-tests,schemathesis \
	mutations$(BESIDE_MUTATIONS) integration+local,clients harness timed readiness controls-tenth figures
# One simple command, so that make waits for it after a signal: it ends the stages, and prints what they have printed.
RUN_STAGES = $(PYTHON) -m tools.stages --make $(MAKE)
test: forget ## Run all tests but those of `make sam`, and say how long each stage took
	@$(RUN_STAGES) $(STAGES)

ci: BESIDE_MUTATIONS = +sam
ci: forget ## Run `make test` and `make sam`, as CI does for each change
	@$(RUN_STAGES) $(STAGES)

# What takes too long for each change: every test on a database without pipelining, every event by `sam local invoke`, all
# negative controls, `make chaos`, and the mutants of the core.
nightly: export INVOKE = all
nightly: forget ## Run what CI leaves to the night: many hours
	@$(RUN_STAGES) one-by-one-all sam stress-controls chaos mutants

# Every figure that was measured meanwhile is held to its bar.
figures: dev-environments
	@MEASURED=1 $(BIN)/pytest tests/guarantees

# The long campaigns, about two hours: each ends by itself, and replays from its seed (CHAOS_SEED=…).
chaos: dev-environments ## Run the long campaigns: soak, failovers, crash points, quiet minutes, two hours [CHAOS_SEED=…]
	@$(BIN)/pytest -s tests/chaos
	@$(BIN)/pytest -m long tests/e2e

# What was measured since `make test` or the last `make guarantees` goes into docs/reference/guarantees.md.
guarantees: dev-environments ## Keep what was last measured in docs/reference/guarantees.md
	@$(BIN)/python -m tests.guarantees.page --keep

# Python 3.11 stays supported: the unit and contract tests on it, in an environment of its own.
OLDEST := 3.11
oldest-python: dev-environments ## Run the unit and contract tests on the oldest supported Python
	@if python=$$(sh local/find_python.sh $(OLDEST)); then \
		$$python -m local.bootstrap --this-python --folder .venvs/python$(OLDEST) dev && \
		.venvs/python$(OLDEST)/dev/bin/pytest tests/unit tests/contract; \
	else \
		echo "SKIPPED, there is no Python $(OLDEST) on this machine" | tee "$${STAGE_NOTE:-/dev/null}"; \
	fi

# Lambda runs 3.13, and so do most tests. What serves the local cloud may run on these too: the servers of asyncio end in
# another way from 3.12 on, for which the cloud once took fifteen seconds to stop.
OTHERS := 3.11 3.12
other-pythons: dev-environments ## Start and stop the local cloud by each other supported Python that this machine has
	@for version in $(OTHERS); do \
		if python=$$(sh local/find_python.sh $$version); then \
			$$python -m local.bootstrap --this-python --folder .venvs/python$$version local emulator || exit 1; \
		else \
			echo "SKIPPED for Python $$version, which is not on this machine" | tee -a "$${STAGE_NOTE:-/dev/null}"; \
		fi; \
	done
	@$(BIN)/pytest tests/other_pythons

forget:
	@rm -rf build/figures.jsonl build/stages build/stages.txt build/stages.json
	@mkdir -p build

lint: style names generated ## Check style, format, names and generated files

routes: dev-environments ## Check that the operations in code are those in template.yaml, and stated where they have to be
	@$(BIN)/python -m tools.routes

style: dev-environments
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

names: dev-environments ## Check that functions begin with a verb and class names stand once
	@$(BIN)/python -m tools.names

generated: dev-environments ## Check that generated files are up to date
	@$(BIN)/python -m tools.openapi --check
	@PYTHONPATH=layers/shared $(BIN)/python -m tools.events --check
	@PYTHONPATH=layers/shared $(BIN)/python -m tools.api_page --check
	@PYTHONPATH=layers/shared $(BIN)/python -m tools.problems_page --check
	@PYTHONPATH=layers/shared $(BIN)/python -m tools.settings_page --check
	@$(BIN)/python -m tools.decisions_page --check
	@$(BIN)/python -m tools.objectives_page --check
	@$(BIN)/python -m tools.stages_page --check
	@$(BIN)/python -m tools.mutants.page --check

types: dev-environments ## Check types (mypy --strict)
	@$(BIN)/mypy

# lint-imports has no setting for the folders of the code: they are pytest's.
CODE_PATH = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["tool"]["pytest"]["ini_options"]["pythonpath"], sep=":")
imports: dev-environments ## Check who may import what
	@PYTHONPATH=$$($(BIN)/python -c '$(CODE_PATH)') $(BIN)/lint-imports --no-cache

template: dev-environments ## Check template.yaml and what it deploys
	@$(BIN)/cfn-lint template.yaml templates/database.yaml
	@$(BIN)/pytest tests/template

# Tests of pages ask axe-core only where it is installed. It is one script without dependencies, pinned by its hash; .ci/run has it.
axe: ## Install axe-core by npm, by which tests judge pages
	@npm ci --prefix tests/axe --no-audit --no-fund --silent

# In an environment of its own, which takes half a minute to install; the check takes six seconds. One run answers both:
# what is found beside the checks that are left out, and whether each of these would still find something.
checkov: dev-environments ## Check what is deployed against common mistakes
	@$(BOOTSTRAP) checkov
	@$(BIN)/pytest tests/checkov

# A program of Node.js, in an environment of its own, which takes a quarter of a minute to install; the check takes six seconds.
spectral: dev-environments ## Check the API's description by all rules of Spectral, if this machine has npm
	@if command -v npm >/dev/null; then $(BIN)/python -m tools.spectral; \
	else echo "SKIPPED, there is no npm on this machine" | tee "$${STAGE_NOTE:-/dev/null}"; fi
	@$(BIN)/pytest tests/spectral

# Nothing that is generated is kept. The TypeScript client needs Node.js; without npm it is left out, and said.
clients: dev-environments ## Generate the clients in Python and TypeScript, and test them while every fifth answer is lost
	@$(BOOTSTRAP) clients
	@$(BIN)/python -m tools.clients python
	@if command -v npm >/dev/null; then $(BIN)/python -m tools.clients typescript; \
	else echo "SKIPPED for TypeScript, there is no npm on this machine" | tee "$${STAGE_NOTE:-/dev/null}"; fi
	@$(BIN)/pytest tests/clients

unit: ## Test the logic, without servers
settings: ## Test that each deployed value is the one decided on
contract: ## Test that each fake behaves like its real adapter
docs: ## Test that the pages refer to things that exist
rules: ## Test that each import rule finds what breaks it
exhaustive: ## Search every state of two environments: circuit breaker, keys, limits, jobs
local: ## Test the local cloud's gateway, runtime and event sources
unit settings contract docs rules exhaustive local: dev-environments
	@$(BIN)/pytest tests/$@

integration: dev-environments ## Test use cases and SQL on a real PostgreSQL, without what `make timed` tests
	@$(BIN)/pytest -m "not timed" tests/integration

# The tests of use cases and of the worker. Others are about permissions, the proxy, servers or hours in virtual time; these run so at night.
ONE_BY_ONE := $(addprefix tests/integration/,agents claims jobs members) --ignore tests/integration/jobs/test_recursion.py
one-by-one: dev-environments ## Test use cases with the statements of each transaction sent one by one
	@DB_PIPELINE=off $(BIN)/pytest -m "not timed" $(ONE_BY_ONE)

one-by-one-all: dev-environments ## Run every integration test in that mode
	@DB_PIPELINE=off $(BIN)/pytest tests/integration

timed: dev-environments ## Test what depends on how long things take; nothing may run beside it
	@$(BIN)/pytest -m timed tests/integration

e2e: dev-environments ## Test a whole local cloud over HTTP and in a browser; tests that wait for minutes are left to make chaos
	@$(BIN)/pytest -m "not alarms and not long" tests/e2e

alarms: dev-environments ## Make trouble in a local cloud, and see which alarms ring; most of it is left to make chaos
	@$(BIN)/pytest -m "alarms and not long" tests/e2e

# What is deployed, changed in one way after another: each has to turn a test red. ONLY=name for one.
mutations: dev-environments ## Change what is deployed in many ways: each must turn a test red [ONLY=name]
	@$(BIN)/python -m tests.mutations $(ONLY)

# In an environment of its own, which takes a minute to install. The results are kept in measurements/mutants.json.
mutants: dev-environments ## Change the code in thousands of places, and keep what no test notices; for the night [ONLY=circuit AGAIN=1]
	@$(BOOTSTRAP) mutants
	@PYTHONPATH=layers/shared $(BIN)/python -m tools.mutants $(if $(AGAIN),--again) $(ONLY)

schemathesis: dev-environments ## Send generated calls to the API, from its description
	@$(BIN)/pytest tests/schemathesis

# The peers in an environment of their own, which takes a quarter of a minute to install. What it measures is a file of
# measurements/, so run it on an idle machine.
bench: dev-environments ## Measure calls and starts beside other stacks, in six minutes, and write docs/reference/bench.md [SEED=…]
	@$(BOOTSTRAP) bench
	@$(BIN)/python -m bench $(if $(SEED),--seed $(SEED))

# Both clouds need 15 GB of memory at 200 users. What it measures is a file of measurements/, so run it on an idle machine.
capacity: dev-environments ## Load the service with 1 to 200 users, in ten minutes, and write docs/reference/capacity.md [SEED=… BASE=commit ALONE=1]
	@$(BIN)/python -m bench.capacity $(if $(SEED),--seed $(SEED)) $(if $(BASE),--base $(BASE)) $(if $(ALONE),--alone)

bench-tests: dev-environments ## Test that the other stacks answer as ours does, count what has a budget again, and let a few users call
	@$(BOOTSTRAP) bench
	@$(BIN)/pytest tests/bench

# The readiness report's own tests, and the short run of it: five minutes on a cloud of its own.
harness: dev-environments ## Run the readiness report's own tests
	@$(BIN)/pytest tests/stress tests/judge

readiness: dev-environments ## Run the short readiness report as a test
	@$(BIN)/pytest tests/readiness

##@ Generated files and requirements
# Each is named before it is made. The last takes two minutes: it puts the template through SAM's transform for each change.
PAGES := api_page problems_page settings_page data_model_page decisions_page objectives_page stages_page mutants.page releases_page
reference: dev-environments ## Write the generated pages: API, settings, data model, decisions and others, in three minutes
	@for page in $(PAGES); do echo "tools.$$page"; PYTHONPATH=layers/shared $(BIN)/python -m tools.$$page || exit 1; done

# After `.ci/run` on a machine that had no environments.
ci-page: dev-environments ## Write docs/reference/ci.md [KEEP=1: from the `make ci` that has just run]
	@$(BIN)/python -m tools.stages_page $(if $(KEEP),--keep)

openapi: dev-environments ## Write the API's description, openapi.json
	@$(BIN)/python -m tools.openapi

events: dev-environments ## Write events/, one for each route and trigger
	@PYTHONPATH=layers/shared $(BIN)/python -m tools.events

# What is pinned stays as it is while the .in allows it; UPGRADE=--upgrade takes the newest of everything.
PINNED := layers/shared/requirements $(addprefix requirements/,dev local emulator lambda databases sam bench checkov clients mutants stress uv)
requirements: ## Pin the packages of every .in file [UPGRADE=--upgrade takes the newest]
	@$(BOOTSTRAP) uv
	@for file in $(PINNED); do echo "$$file.txt"; .venvs/uv/bin/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --excludes requirements/excludes.txt $(UPGRADE) --output-file $$file.txt $$file.in || exit 1; done

##@ AWS SAM
# Not part of `make test`, but of CI: its environment takes a minute to install, and its tests take four.
sam: dev-environments sam-lint ## Build for both processors, and answer each event by the built functions, in Docker if it can run
	@$(BIN)/pytest tests/sam --ignore tests/sam/docker
	@$(BIN)/python -m tests.sam.isolated $(BIN)/pytest tests/sam/docker

sam-events: dev-environments sam-environment ## Answer each event by the built functions, without Docker
	@$(BIN)/pytest tests/sam/test_built_events.py

# docs/how-to/run-with-sam-local.md
sam-local: environments sam-environment ## Have `sam local` run the functions on the stack of `make up`; Ctrl-C ends it
	@.venvs/local/bin/python -m local.sam --state $(STATE)

# docs/how-to/deploy.md
sam-lint: sam-environment ## Validate template.yaml with the SAM command line
	@SAM_CLI_TELEMETRY=0 .venvs/sam/bin/sam validate --lint

sam-build: sam-environment ## Build what `sam deploy` uploads
	@SAM_CLI_TELEMETRY=0 .venvs/sam/bin/sam build

# The release's id is written into the built template, so a plain `sam build` and `sam deploy` never keep an old one.
ENVIRONMENT ?= default
deploy: sam-build ## Build, deploy, and see that the stack answers with it [ENVIRONMENT=staging PARAMETERS="Name=value …"]
	@echo "release $$($(PYTHON) -m tools.release stamp --environment $(ENVIRONMENT) $(PARAMETERS))"
	@SAM_CLI_TELEMETRY=0 .venvs/sam/bin/sam deploy --config-env $(ENVIRONMENT) $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))
	@$(MAKE) released

released: ## See that a stack answers with the release that was built last [ENVIRONMENT=staging]
	@url=$$(SAM_CLI_TELEMETRY=0 .venvs/sam/bin/sam list stack-outputs --config-env $(ENVIRONMENT) --output json | $(PYTHON) -c \
		'import json, sys; print(*(o["OutputValue"] for o in json.load(sys.stdin) if o["OutputKey"] == "ApiUrl"))') && \
		$(PYTHON) -m tools.release check "$$url"

sam-environment:
	@$(BOOTSTRAP) sam

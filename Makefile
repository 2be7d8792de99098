# What one does here. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help run test lint fmt install dev bench bench-budget bench-due bench-latency bench-scale bench-peers simulate \
  simulate-mutants fuzz chaos docs audit down clean clean-all lock hooks

SHELL := /bin/bash
BIN := .venv/bin
REQ := requirements
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST_ARGS ?=
ON_SERVERS := tests/contract/ tests/live/ tests/chaos/
ALONE := tests/live/test_registry.py tests/chaos/
SEEDS ?= 200

help:  ## what make can do here
	@echo 'make TARGET:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: install  ## real servers, a year of real tills, who rose and fell (4 min; the first time loads 300 MB)
	@$(BIN)/loyalty demo

test: lint  ## everything: style, types, arrows, then all tests on their own servers
ifeq ($(PYTEST_ARGS),)
	$(BIN)/python -m pytest --numprocesses auto $(filter-out $(ON_SERVERS), $(wildcard tests/*/ tests/test_*.py))
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
	  $(addprefix --ignore=, $(ALONE)) $(filter-out $(ALONE), $(ON_SERVERS))
	$(BIN)/python -m pytest $(ALONE)
else
	$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

lint: dev  ## style, types and arrows (half a minute)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: dev  ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## events a second, memory, time by stage; writes docs/benchmarks.md (9 min)
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

bench-budget: install  ## where the loop's time goes, by stage (2 min)
	$(BIN)/python -m tests.bench.budget $(BENCH_ARGS)

bench-due: install  ## what a week of ticks costs with 10,000 to 1,000,000 silent customers (8 min)
	$(BIN)/python -m tests.bench.bench_due

bench-latency: dev  ## milliseconds from a till to Redis and to the topic at 1,000 and 100 a second; BENCH_ARGS='--policy tiers' (11 min)
	$(BIN)/python -m tests.bench.latency $(BENCH_ARGS)

bench-scale: dev  ## bytes a customer, a tick's cost by who is silent, two workers; PARTS='memory ticks' (8 min)
	$(BIN)/python -m tests.bench.scale $(PARTS)

bench-peers: dev .venv-peers/.installed  ## the same work through others, too; EVENTS=1200000, FULL_EVENTS=300000, SYSTEMS='faust bytewax', JSON=FILE (13 min; 7 for 300,000)
	$(BIN)/python -m tests.bench.peers $(SYSTEMS) --events $(or $(EVENTS),1200000) --full-events $(or $(FULL_EVENTS),300000) $(if $(JSON),--json $(JSON))

simulate: dev  ## seeded crash simulations; SEED=417 runs one, SEEDS=10000 runs many
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000) $(if $(SEED),--seed $(SEED))

simulate-mutants: dev  ## breaks the loop on purpose, and says which seed noticed
	$(BIN)/python -m tests.simulation.mutants --seeds $(or $(SEEDS),1000)

fuzz: dev  ## what may come from Kafka, mutated; SEED=417 runs one input, INPUTS=1000000 runs many (some 500 a second and core)
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),1000000) $(if $(SEED),--seed $(SEED))

chaos: dev  ## 200 faults on real servers in one run; SEED=7 draws others, FAULTS=50 fewer (20 min)
	LOYALTY_TEST_FAULTS=$(or $(FAULTS),200) LOYALTY_TEST_CUSTOMERS=$(or $(CUSTOMERS),800) SEED=$(or $(SEED),1) \
	  LOYALTY_TEST_BUT='$(BUT)' $(BIN)/python -m pytest -s tests/chaos/test_two_hundred.py

docs: .venv/.installed-docs  ## the documentation site in build/site, strictly: no broken link, nothing from elsewhere (10 s)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

audit: .venv/.installed-audit  ## known vulnerabilities of what is locked; its bill of materials in sbom.json (1 min)
	@$(BIN)/python $(REQ)/audit.py --sbom sbom.json $(addprefix $(REQ)/, runtime.txt stack.txt study.txt otel.txt data.txt redis.txt build.txt dev.txt docs.txt)

down:  ## stop the local servers and the console; the data stays
	@if [ -x $(BIN)/loyalty ]; then $(BIN)/loyalty stack down; \
	elif ls .loyalty/run/*.pid >/dev/null 2>&1; then echo 'servers may run, and .venv is not there: make install down' >&2; exit 1; fi

clean: down  ## stop the servers and remove all that was made here (.venv, data, caches)
	@rm -rf .venv .venv-peers .loyalty build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage sbom.json \
	  docs/examples/js/node_modules tests/deploy/npm/node_modules
	@find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean  ## and the Kafka that was loaded into the user's cache
	@rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/loyalty"

install: .venv/.installed  ## .venv with the command `loyalty`, from the hashed lock (1 min)

dev: .venv/.installed-dev

.venv/bin/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3 python; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "making .venv with $$($$python --version)"; exec $$python -m venv .venv; \
	  fi; \
	done; echo 'no Python 3.11 or newer on PATH; install one, or name it: make PYTHON=/path/to/python' >&2; exit 1

# The build tools come from the lock too: nothing is built in an environment of pip's own, which it would fill unchecked.
.venv/.installed: $(REQ)/build.txt $(REQ)/runtime.txt $(REQ)/stack.txt $(REQ)/study.txt $(REQ)/data.txt pyproject.toml | .venv/.redis
	@echo 'installing what runs'
	@$(PIP) install --quiet --require-hashes -r $(REQ)/build.txt
	@$(PIP) install --quiet --require-hashes --no-build-isolation -r $(REQ)/runtime.txt -r $(REQ)/stack.txt -r $(REQ)/study.txt
	@$(PIP) install --quiet --require-hashes --no-deps -r $(REQ)/data.txt
	@$(PIP) install -qq --no-deps --no-build-isolation --no-index -e .
	@touch $@

# The server as a ready-made file if there is one, from source if there is a compiler, else one that is on PATH already.
REDIS = $(PIP) install --quiet --require-hashes --no-deps -r $(REQ)/redis.txt
FOR_312 = --only-binary=:all: --implementation cp --python-version 3.12 --abi cp312 --platform manylinux2014_$$(uname -m)

.venv/.redis: $(REQ)/redis.txt $(REQ)/build.txt | .venv/bin/python
	@$(PIP) install --quiet --require-hashes -r $(REQ)/build.txt
	@$(REDIS) --only-binary=:all: 2>/dev/null \
	  || $(REDIS) $(FOR_312) --upgrade --target $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))') 2>/dev/null \
	  || { echo 'building redis-server'; $(REDIS) --no-build-isolation >/dev/null 2>&1; } \
	  || redis-server --version \
	  || { echo 'there is no ready-made redis-server for this machine and no compiler: install Redis 6.2 or newer' >&2; exit 1; }
	@touch $@

.venv/.installed-dev: .venv/.installed $(REQ)/dev.txt $(REQ)/otel.txt
	@echo 'installing what checks'
	@$(PIP) install --quiet --require-hashes --no-build-isolation -r $(REQ)/dev.txt -r $(REQ)/otel.txt
	@touch $@

.venv/.installed-audit: .venv/.installed $(REQ)/audit.txt
	@echo 'installing what audits'
	@$(PIP) install --quiet --require-hashes --no-build-isolation -r $(REQ)/audit.txt
	@touch $@

.venv/.installed-docs: .venv/.installed-dev $(REQ)/docs.txt
	@echo 'installing what makes the site'
	@$(PIP) install --quiet --require-hashes --no-build-isolation -r $(REQ)/docs.txt
	@touch $@

# The peers pin what the project does not: they live apart.
.venv-peers/.installed: $(REQ)/peers.txt | .venv/bin/python
	@echo 'installing the peers'
	@test -x .venv-peers/bin/python || $(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $(REQ)/peers.txt
	@touch $@

hooks: dev  ## check each commit with what is in .venv
	$(BIN)/pre-commit install

# No address of an index and no folder of this machine may get into the lock: both are unset and checked.
COMPILE = env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet \
  --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

lock: dev  ## write the hashed lock anew from requirements/*.in, with Python 3.11 (6 min)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "the lock is made with 3.11: make clean lock PYTHON=python3.11")'
	$(COMPILE) --output-file $(REQ)/runtime.txt $(REQ)/runtime.in
	for name in stack study dev docs audit build data redis; do \
	  $(COMPILE) --constraint $(REQ)/runtime.txt --output-file $(REQ)/$$name.txt $(REQ)/$$name.in || exit 1; \
	done
	$(COMPILE) $(addprefix --constraint $(REQ)/, runtime.txt stack.txt dev.txt) --output-file $(REQ)/otel.txt $(REQ)/otel.in
	$(COMPILE) --output-file $(REQ)/peers.txt $(REQ)/peers.in
	for name in data redis; do $(BIN)/python $(REQ)/only_named.py $(REQ)/$$name.in $(REQ)/$$name.txt || exit 1; done
	! grep -nE '://|find-links|index-url' $(REQ)/*.txt

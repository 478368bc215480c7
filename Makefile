# make run                  set everything up, build the example list, serve it (Ctrl-C stops; a second run goes on)
# make run UNTIL_IDLE=1     the same, but end by itself once every requested project was built, installed and imported
# make chaos SEED=1         hurt a farm of several nodes in every way for some minutes; docs/how-to/run-the-fault-harness.md
# make crash-points TIMES=20  kill the master at each named point, and see how soon all is right again
# make hostile ROUNDS=6     hostile source distributions, one after the other, on one node
# make test                 linters, type checks and the whole test suite
# make bench-master         what the master costs as the catalogue grows (ROWS=10000000 PROJECTS=700000: up to all of PyPI)
# make bench-plan           what deciding about a project costs as the farm grows (ROWS=1000000: builds)
# make bench-makespan       ten small C projects on two slots: how well the farm fills them
# make bench-arm            the same sdists native, hybrid and wholly emulated; what an idle node takes of memory; SFTP beside plain sftp
# make bench-index          how fast the index answers beside nginx and other index servers (FILES=20000 ROUNDS_OF_ALL=3 SECONDS_EACH=2)
# make e2e-arm              two bare ARM machines, emulated, become nodes and build all that paramiko needs; takes hours (ARM=armv7l: one)
# make bench-heal           real projects built from the plain image: how many turn green without a person, by what

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: run test chaos crash-points bench-master bench-plan bench-makespan bench-heal bench-arm bench-index e2e-arm hostile

# The first Python that is new enough; empty where there is none.
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

run: .venv/.ready
	@$(PYTHON) -m master.debian_packages run
	@exec .venv/bin/wheelfarm run $(if $(UNTIL_IDLE),--until-idle)

test: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest --durations 20 -n auto -m 'not slow'
	.venv/bin/pytest --durations 40 -n auto --dist loadfile -m slow

ROWS ?= 1000000
PROJECTS ?= 70000
bench-master: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test
	@exec .venv/bin/python -m bench.master $(ROWS) $(PROJECTS)

bench-plan: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test
	@exec .venv/bin/python -m bench.plan $(ROWS)

bench-makespan: .venv/.ready
	@$(PYTHON) -m master.debian_packages run
	@exec .venv/bin/python -m bench.makespan

bench-heal: .venv/.ready
	@$(PYTHON) -m master.debian_packages run
	@.venv/bin/wheelfarm image make debian12-$$(uname -m)
	@exec .venv/bin/python -m bench.heal $(NAMES)

FILES ?= 20000
ROUNDS_OF_ALL ?= 3
SECONDS_EACH ?= 2
bench-index: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test bench
	@exec .venv/bin/python -m bench.index $(FILES) $(ROUNDS_OF_ALL) $(SECONDS_EACH)

bench-arm: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test
	@exec .venv/bin/python -m bench.arm $(NAMES)

ARM ?= aarch64 armv7l
# The newest releases of these that need no Rust, whose crates no sandbox may fetch
e2e-arm: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test
	@WHEELFARM_ARM='$(ARM)' WHEELFARM_ARM_PROJECTS='paramiko invoke six pycparser cffi pynacl bcrypt==3.2.2 cryptography==3.3.2' \
		WHEELFARM_ARM_IMAGES=made WHEELFARM_ARM_PATIENCE_S=14400 .venv/bin/pytest -q -s tests/e2e/test_arm_hosts.py

SEED ?= 1
SEEDS ?= 1
BUILDS ?= 300
FAULTS ?= 40
DATABASE ?= sqlite
chaos: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test
	@exec .venv/bin/python -m tests.chaos --seed $(SEED) --seeds $(SEEDS) --builds $(BUILDS) --faults $(FAULTS) \
		--database $(DATABASE)

ROUNDS ?= 6
hostile: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test
	@WHEELFARM_HOSTILE_ROUNDS=$(ROUNDS) .venv/bin/pytest -q -s tests/builder/pipeline/test_hostile_sdists.py -k in_a_row

TIMES ?= 20
crash-points: .venv/.ready
	@$(PYTHON) -m master.debian_packages run test
	@exec .venv/bin/python -m tests.chaos.crashes --times $(TIMES) --database $(DATABASE)

# Everything is pinned by hash in requirements.lock, pip itself and the build backend of this project too.
.venv/.ready: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "wheelfarm needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1)" >&2; exit 1; }
	@$(PYTHON) -m master.debian_packages venv
	@echo "Making .venv with $$($(PYTHON) --version) and what requirements.lock pins (once; a minute or two)" >&2
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

